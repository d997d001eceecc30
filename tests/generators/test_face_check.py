"""The check that a face is still found in the finished picture."""

import json

import numpy as np
import pytest

from spooflab.augment import CaptureDevice
from spooflab.errors import SkipSample
from spooflab.generators.bonafide import Bonafide
from spooflab.generators.config import GenerationConfig
from spooflab.generators.face_check import landmark_error
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.lab import Lab, Picture, photograph
from spooflab.generators.plan import make_plan
from spooflab.seeds import generator

pytestmark = pytest.mark.slow  # together half a minute


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    source, device, attack = (
        ProceduralFaces(n_subjects=4, sessions=1, size=192, seed=41),
        CaptureDevice("dslr"),
        Bonafide(),
    )
    return [
        photograph(
            attack,
            source.load(ref),
            None,
            attack.sample(1, generator(1, "a", k)),
            device.sample(1, generator(1, "d", k), size=(256, 256)),
            192,
        )
        for k, ref in enumerate(source.refs())
    ]


def test_a_live_face_is_found_where_the_record_says(pictures: list[Picture]) -> None:
    errors = [landmark_error(picture.image, picture.landmarks) for picture in pictures]
    assert float(np.median(errors)) < 0.12, errors


def test_another_place_and_a_picture_without_a_face_are_not(pictures: list[Picture]) -> None:
    picture = pictures[0]
    away = picture.landmarks + np.array([60.0, 0.0], np.float32)
    assert landmark_error(picture.image, away) > 0.3
    noise = np.random.default_rng(1).integers(0, 256, picture.image.shape, dtype=np.uint8)
    assert landmark_error(noise, picture.landmarks) > 0.3


def test_the_limit_refuses_and_a_kept_sample_records_the_error() -> None:
    config = {
        "n": 2,
        "seed": 3,
        "faces": [{"kind": "procedural", "subjects": 2, "sessions": 1}],
        "bonafide_share": 1.0,
        "sensor_px": 192,
        "face_px": 160,
        "output_px": 160,
    }
    strict, loose = (GenerationConfig.model_validate(config | {"qc": {"face_error": e}}) for e in (1e-4, 2.0))
    lab = Lab(loose)
    spec = make_plan(loose, lab.refs(), lab.device_ids).specs[0]
    assert 0 < json.loads(lab.make(spec).params)["qc"]["face_error"] < 2
    with pytest.raises(SkipSample) as refused:
        Lab(strict).make(spec)
    assert refused.value.reason == "qc_face_error"
