"""A face shown on a desktop monitor or a laptop."""

from spooflab.generators.attacks.replays.replay import Replay, ReplayStyle


class ReplayMonitor(Replay):
    """A face shown on a desktop monitor or a laptop (species `replay_monitor`); see `Replay` for the arguments."""

    species = "replay_monitor"
    style = ReplayStyle(
        kinds=("monitor", "laptop"), family="desktop", far_share=(0.16, 0.4), far_chance=0.35, nearest_mm=(180, 260),
        farthest_mm=(500, 1000), hand_share=0.0, turned_share=0.03, stand_share=0.9, zoom_whole=0.3, zoom=(0.22, 1.1),
        outdoor_share=0.1,
    )  # fmt: skip
