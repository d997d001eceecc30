"""What is drawn for one worn print."""

from dataclasses import dataclass

from torch import Tensor

from spooflab.generators.attacks.prints.process import Printing
from spooflab.params import Params


@dataclass(frozen=True)
class PaperMaskParams(Params):
    """One worn print; every field is batched.

    Attributes:
        printing: the print.
        life_size: (B,) printed face's width relative to the wearer's.
        outline: (B,) int64 into `mask_paper_cut.OUTLINES`.
        grow: (B,) size of the cut relative to what it runs along.
        wander_mm: (B,) unsteadiness of the scissors.
        holes: (B, 2) width and height of the eye holes relative to half the printed eye's width; 0 for none.
        flap: (B,) bool, a slit around the nose.
        radius_mm: (B,) of the bent sides.
        flat_mm: (B,) half width of the middle.
        fold_deg: (B,) of a crease down the nose, 0 for none.
        lean_deg, roll_deg: (B,) how it hangs.
        shift_mm: (B, 2) misplacement across and up.
        stand_mm: (B,) distance before the nose's tip.
        waves: (B,) root mean square slope of the sheet's waves.
        band: (B,) bool, an elastic band.
        lamp_direction, lamp_share, lamp_radius_rad: see `MaskParams`.
        seed: (B,) int64, names scissors and waves.
        ablated: (B,) int64 bits of the effects that are off.
    """

    printing: Printing
    life_size: Tensor
    outline: Tensor
    grow: Tensor
    wander_mm: Tensor
    holes: Tensor
    flap: Tensor
    radius_mm: Tensor
    flat_mm: Tensor
    fold_deg: Tensor
    lean_deg: Tensor
    roll_deg: Tensor
    shift_mm: Tensor
    stand_mm: Tensor
    waves: Tensor
    band: Tensor
    lamp_direction: Tensor
    lamp_share: Tensor
    lamp_radius_rad: Tensor
    seed: Tensor
    ablated: Tensor
