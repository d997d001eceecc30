"""A face shown on a tablet."""

from spooflab.generators.attacks.replays.replay import Replay, ReplayStyle


class ReplayTablet(Replay):
    """A face shown on a tablet, upright or on its side (species `replay_tablet`); see `Replay` for the arguments."""

    species = "replay_tablet"
    style = ReplayStyle(
        kinds=("tablet",), family="handheld", far_share=(0.22, 0.46), far_chance=0.5, nearest_mm=(140, 220),
        farthest_mm=(350, 800), hand_share=0.75, turned_share=0.45, stand_share=0.6, zoom_whole=0.4, zoom=(0.4, 1.5),
        back_deg=6.0,
    )  # fmt: skip
