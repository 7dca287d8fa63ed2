-- Arguments: id, transaction, the document that was read, the document with the decision.
-- Returns 1, or 0 when the document is not any more what was read: somebody else decided, or it has expired.
local id, transaction, read, decided = unpack(ARGV)

if redis.call('GET', DOCUMENT) ~= read then
  return 0
end
redis.call('SET', DOCUMENT, decided, 'KEEPTTL')
no_longer_waits(id, transaction)
return 1
