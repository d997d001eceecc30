"""A face shown on a phone."""

from spooflab.generators.attacks.replays.replay import Replay, ReplayStyle


class ReplayPhone(Replay):
    """A face shown on a phone (species `replay_phone`); see `Replay` for the arguments."""

    species = "replay_phone"
    style = ReplayStyle(
        kinds=("phone",), family="handheld", far_share=(0.22, 0.45), far_chance=0.4, nearest_mm=(90, 150),
        farthest_mm=(250, 600), hand_share=0.85, turned_share=0.08, stand_share=0.0, zoom_whole=0.35, zoom=(0.4, 1.8),
        back_deg=5.0,
    )  # fmt: skip
