"""What is drawn for one replay."""

from dataclasses import dataclass

from torch import Tensor

from spooflab.generators.attacks.replays.content import FirstCamera
from spooflab.generators.scene import SceneParams
from spooflab.params import Params


@dataclass(frozen=True)
class ReplayParams(Params):
    """One replay of a photograph on a panel; every field is batched.

    Attributes:
        panel: (B,) int64 place in the bank.
        body_colour: (B,) int64; taken modulo the colours that the model comes in.
        turned: (B,) bool: the device lies on its side, its top at the left.
        camera: the earlier photograph.
        zoom: (B,) side of the shown photograph relative to the active area's shorter side; less where the face would
            not fit.
        slide: (B, 2) where the photograph lies within the freedom it has, -1...1.
        ui_kind: (B,) int64 which application shows it, see `replay_interface`.
        ui_seed: (B,) int64, names the graphics around the photograph.
        ui_dark: (B,) bool, their theme.
        brightness: (B,) share of full luminance.
        tint: (B, 3) linear gains of a night mode on the panel's colours, 1 without.
        vivid: (B,) chroma gain of the panel's colour mode, 1 without.
        lux: (B,) illuminance in the room that the scene's unit stands for.
        share: (B,) width of the face as a share of the frame.
        aim: (B, 2) where the face's centre lies in the frame, offset as a share of the frame.
        yaw_deg, pitch_deg, roll_deg: (B,) pose of the panel.
        nearest_mm, farthest_mm: (B,) distances between which the camera is held.
        smear_seed: (B,) int64, names grease, dust and the coat's sparkle.
        smear: (B,) how greasy the glass is, 0-1.
        dust: (B,) how dusty, 0-1.
        stand: (B,) bool: a foot and a table under a device that no hand holds.
        table_rgb: (B, 3) linear albedo of the table.
        scene: the surroundings.
        ablated: (B,) int64 bits of the effects that are off.
    """

    panel: Tensor
    body_colour: Tensor
    turned: Tensor
    camera: FirstCamera
    zoom: Tensor
    slide: Tensor
    ui_kind: Tensor
    ui_seed: Tensor
    ui_dark: Tensor
    brightness: Tensor
    tint: Tensor
    vivid: Tensor
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
    dust: Tensor
    stand: Tensor
    table_rgb: Tensor
    scene: SceneParams
    ablated: Tensor
