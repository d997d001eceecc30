"""Everything that decides how one shot looks: enough to develop the same photo from the same light again."""

from dataclasses import dataclass

from torch import Tensor

from spooflab.augment.view import View
from spooflab.params import Params


@dataclass(frozen=True)
class DeviceParams(Params):
    """One shot of one unit. Fields of a unit's identity repeat in each of its shots, so that a record is complete.

    Attributes:
        view: optics and timing.
        unit: (B,) int64, number of the unit within its profile.
        lux: (B,) illuminance that noise, exposure time, smear and quality follow.
        corner_gain: (B,) illumination of the corner, centre = 1.
        red_scale, blue_scale: (B,) lateral colour, scale relative to green less one.
        prnu_seed, prnu_std: (B,) int64 and float, the unit's photo-response pattern.
        metering, target, highlight, error_ev: (B,) auto-exposure, see `meter`.
        sensor_matrix: (B, 3, 3) linear sRGB to the sensor's white-balanced colours.
        balance: (B, 3) white-balance gains that neutralise the sensor, green = 1.
        balance_error: (B, 3) factor on the gains that the camera really applies.
        ccm: (B, 3, 3) correction matrix, saturation included.
        cfa: (B,) bool, RGGB mosaic (else three full planes).
        noise_a, noise_b: (B,) raw noise variance a x + b, white = 1.
        row_std: (B,) standard deviation of row noise.
        noise_seed: (B,) int64.
        bits: (B,) int64 of the converter, 0 for none.
        black_level: (B,) pedestal, share of full scale.
        smear, beautify: (B,) noise reduction and skin smoothing, [0, 1].
        tone, gamma: (B,) tone curve, see `tone_curve`.
        source_tone, source_gamma: (B,) curve that a photograph given to `CaptureDevice.forward` is taken to carry.
        halo, halo_radius_px: (B,) sharpening.
        quality: (B,) int64 JPEG quality, 0 for no codec.
        subsampling: (B,) int64, 0 4:4:4, 1 4:2:2, 2 4:2:0.
        stream: (B,) int64, 0 JPEG as above, 1 H.264, 2 H.265; None, in older records, is 0.
        crf, gop: (B,) int64 constant rate factor, and frames between key frames, of H.264 and H.265.
        awb_strength: (B,) share of the light's colour that auto-white-balance takes away, see `adapt`; None, in older
            records, is 0.
        corner_blur_px: (B,) softness of the corners, see `field_blur`; None is 0.
        defect_seed, defect_share, defect_left: (B,) int64 and floats, photosites that do not work, see `defects`; None
            is none.
    """

    view: View
    unit: Tensor
    lux: Tensor
    corner_gain: Tensor
    red_scale: Tensor
    blue_scale: Tensor
    prnu_seed: Tensor
    prnu_std: Tensor
    metering: Tensor
    target: Tensor
    highlight: Tensor
    error_ev: Tensor
    sensor_matrix: Tensor
    balance: Tensor
    balance_error: Tensor
    ccm: Tensor
    cfa: Tensor
    noise_a: Tensor
    noise_b: Tensor
    row_std: Tensor
    noise_seed: Tensor
    bits: Tensor
    black_level: Tensor
    smear: Tensor
    beautify: Tensor
    tone: Tensor
    gamma: Tensor
    source_tone: Tensor
    source_gamma: Tensor
    halo: Tensor
    halo_radius_px: Tensor
    quality: Tensor
    subsampling: Tensor
    stream: Tensor | None = None
    crf: Tensor | None = None
    gop: Tensor | None = None
    awb_strength: Tensor | None = None
    corner_blur_px: Tensor | None = None
    defect_seed: Tensor | None = None
    defect_share: Tensor | None = None
    defect_left: Tensor | None = None
