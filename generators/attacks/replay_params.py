"""What is drawn for one replay."""

from dataclasses import dataclass

from torch import Tensor

from spooflab.generators.attacks.replay_content import FirstCamera
from spooflab.generators.scene import SceneParams
from spooflab.params import Params


@dataclass(frozen=True)
class ReplayParams(Params):
    """One replay of a photograph on a panel; every field is batched.

    Attributes:
        panel: (B,) int64 place in the bank.
        body_colour: (B,) int64; taken modulo the colours that the model comes in.
        camera: the earlier photograph.
        zoom: (B,) width of the shown photograph relative to the active width (phones), or its height relative to the
            active height (monitors); less where the face would not fit.
        slide: (B, 2) where the photograph lies within the freedom it has, -1...1.
        ui_seed: (B,) int64, names the graphics around the photograph.
        ui_dark: (B,) bool, their theme.
        brightness: (B,) share of full luminance.
        lux: (B,) illuminance in the room that the scene's unit stands for.
        share: (B,) width of the face as a share of the frame.
        aim: (B, 2) where the face's centre lies in the frame, offset as a share of the frame.
        yaw_deg, pitch_deg, roll_deg: (B,) pose of the panel.
        nearest_mm, farthest_mm: (B,) distances between which the camera is held.
        smear_seed: (B,) int64.
        smear: (B,) how greasy the glass is, 0-1.
        scene: the surroundings.
    """

    panel: Tensor
    body_colour: Tensor
    camera: FirstCamera
    zoom: Tensor
    slide: Tensor
    ui_seed: Tensor
    ui_dark: Tensor
    brightness: Tensor
    lux: Tensor
    share: Tensor
    aim: Tensor
    yaw_deg: Tensor
    pitch_deg: Tensor
    roll_deg: Tensor
    nearest_mm: Tensor
    farthest_mm: Tensor
    smear_seed: Tensor
    smear: Tensor
    scene: SceneParams
