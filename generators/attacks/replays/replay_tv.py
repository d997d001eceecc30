"""A face shown on a television."""

from spooflab.generators.attacks.replays.replay import Replay, ReplayStyle


class ReplayTV(Replay):
    """A face shown on a television on a foot or a wall (species `replay_tv`); see `Replay` for the arguments."""

    species = "replay_tv"
    style = ReplayStyle(
        kinds=("tv",), family="television", far_share=(0.14, 0.38), far_chance=0.45, nearest_mm=(600, 900),
        farthest_mm=(1200, 2500), hand_share=0.0, turned_share=0.0, stand_share=0.55, zoom_whole=0.3, zoom=(0.3, 1.2),
        tilt_deg=24.0, lux_inside=(20.0, 500.0),
        outdoor_share=0.05,
    )  # fmt: skip
