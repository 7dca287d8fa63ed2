"""A bot that is killed in the middle of things: others finish them, and the next bot says so, once."""

import asyncio

import asyncpg

from .conftest import DEADLINE_SECONDS, running_bot
from .test_process import _last_words, _start
from .test_transfers import OFX
from .test_with_worker import working


async def test_a_transfer_of_a_killed_bot_is_finished_and_told_once(
    settings, other_settings, person, postgres_url, workshop
):
    """Kill -9 when the money is reserved: a worker moves it, the next bot tells it, and nothing is moved twice."""
    process = _start(settings)
    connection = await asyncpg.connect(postgres_url)
    try:
        await person.hands_over("one.ofx", OFX % (b"DE4021", b"100.00"))
        await person.hands_over("two.ofx", OFX % (b"DE7788", b"5.00"))
        async with connection.transaction():
            await connection.execute("LOCK TABLE transactions IN SHARE MODE")
            person.account.write("/transfer 25 4021 7788")
            async with asyncio.timeout(DEADLINE_SECONDS):
                while await connection.fetchval("SELECT state FROM transfers") != "reserved":
                    await asyncio.sleep(0.01)
            process.kill()
            await _last_words(process)
        person.account.look_away()
        # Telegram hands the same message over again, as the killed bot never confirmed it.
        async with working(other_settings), running_bot(other_settings):
            while "Moved" not in (seen := await person.sees("message")).text:
                pass
            assert seen.text == "✅ Moved 25.00 EUR from •4021 to •7788."
            listing = await person.says("/transfer")
        assert "•4021: 75.00 EUR" in listing.text
        assert "•7788: 30.00 EUR" in listing.text
        assert [row["state"] for row in await connection.fetch("SELECT state FROM transfers")] == ["booked"]
        booked = await connection.fetchval("SELECT count(*) FROM transactions WHERE source = 'transfer'")
        assert booked == 2
    finally:
        process.kill()
        await connection.close()
