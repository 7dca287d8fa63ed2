"""Who sends too fast is told how many seconds to wait, and may send again after them."""

from midas.demo.internet.flood import FloodControl, FloodLimits


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_chat_has_its_burst_and_then_its_rate():
    """After the burst one message a second passes, and a refused one costs nothing."""
    clock = Clock()
    control = FloodControl(FloodLimits(chat_rate=1, chat_burst=3, total_rate=100, total_burst=100), clock)
    assert [control.wait_seconds(7) for _ in range(4)] == [0, 0, 0, 1]
    assert control.wait_seconds(8) == 0
    clock.now += 1.0
    assert [control.wait_seconds(7), control.wait_seconds(7)] == [0, 1]


def test_the_whole_bot_is_limited_across_chats():
    """Many chats together are held to the total rate, with the wait until it is free."""
    clock = Clock()
    control = FloodControl(FloodLimits(total_rate=0.5, total_burst=2), clock)
    assert [control.wait_seconds(chat) for chat in range(3)] == [0, 0, 2]
    clock.now += 2.0
    assert control.wait_seconds(9) == 0


def test_keeping_to_the_advice_is_always_enough():
    """Whoever waits as long as he was told is let through at the next attempt."""
    clock = Clock()
    control = FloodControl(FloodLimits(chat_rate=0.3, chat_burst=1), clock)
    for _ in range(50):
        wait = control.wait_seconds(7)
        if wait:
            clock.now += wait
            assert control.wait_seconds(7) == 0


def test_a_faster_world_has_a_faster_messenger():
    """When people live ten times as fast, ten times as much may be sent."""
    assert FloodLimits().faster(10) == FloodLimits(10, 200, 300, 600)
