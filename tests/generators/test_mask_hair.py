"""Hair and what is worn: no island of the wearer floats on a mask, a dummy or below a wig, whatever the classes say."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spooflab.generators.attacks.disguises.wig import Wig
from spooflab.generators.attacks.masks.mannequin import Mannequin
from spooflab.generators.attacks.masks.mask_rigid import MaskRigid
from spooflab.generators.attacks.masks.mask_silicone import COVERAGES, MaskSilicone
from spooflab.generators.face import PARSING, Face
from spooflab.generators.face_net.colour_model import grown, shrunk
from spooflab.generators.face_net.flood import flood
from spooflab.generators.faces.folder import FolderFaces
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.seeds import generator

pytestmark = pytest.mark.slow  # together half a minute

HAIR, SKIN = PARSING.index("hair"), PARSING.index("skin")
EXAMPLES = Path(__file__).parents[2] / "examples" / "portraits.py"


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Face:
    """The photograph that scikit-image ships: a fringe of the forehead's own colour, almost."""
    pytest.importorskip("skimage")
    spec = importlib.util.spec_from_file_location("portraits", EXAMPLES)
    assert spec is not None
    assert spec.loader is not None
    portraits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(portraits)
    folder = tmp_path_factory.mktemp("photos")
    portraits.main(folder, None)
    source = FolderFaces(folder, landmarks=folder / "landmarks.csv", subjects="file", size=256)
    return source.load(source.refs()[0])


@pytest.fixture(scope="module")
def people() -> list[Face]:
    source = ProceduralFaces(n_subjects=4, sessions=1, size=256, seed=5)
    return [source.load(ref) for ref in source.refs()]


def pieces(mask: Tensor, least: int = 6) -> int:
    """Count the connected pieces of a mask (h, w) that have at least so many pixels."""
    left, count = mask.clone(), 0
    while bool(left.any()):
        seed = torch.zeros_like(left)
        seed.view(-1)[int(left.reshape(-1).nonzero()[0])] = True
        piece = flood(seed, left)
        left &= ~piece
        count += int(piece.sum()) >= least
    return count


def forehead(face: Face) -> Tensor:
    """Return (h, w) bool: from brow to brow and up by half the distance between the eyes."""
    points = face.landmarks[0]
    eyes = float((points[42:48].mean(0) - points[36:42].mean(0)).norm())
    height, width = face.size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    low = float(points[17:27, 1].amin())
    return (y < low) & (y > low - 0.5 * eyes) & (x > points[18, 0]) & (x < points[25, 0])


def worn(attack: Any, face: Face, donor: Face, **fields: Tensor) -> tuple[Face, Tensor]:
    """Return the changed face and where it is covered for certain."""
    params = attack.sample(1, generator(3, "hair", attack.species))
    params = type(params)(**{**params.__dict__, **fields})
    with torch.inference_mode():
        changed = attack.apply(face, donor if attack.needs_donor else None, params).face
    assert changed.spoof_mask is not None
    return changed, changed.spoof_mask[0, 0] > 0.5


def flood_by_dilation(seed: Tensor, mask: Tensor) -> Tensor:
    """Return what `flood` must, one step at a time."""
    reached = seed & mask
    while True:
        cross = reached.clone()
        cross[1:] |= reached[:-1]
        cross[:-1] |= reached[1:]
        cross[:, 1:] |= reached[:, :-1]
        cross[:, :-1] |= reached[:, 1:]
        cross &= mask
        if torch.equal(cross, reached):
            return reached
        reached = cross


@pytest.mark.parametrize("share", [0.45, 0.6, 0.75])
def test_flood_is_step_by_step_dilation(share: float) -> None:
    gen = torch.Generator().manual_seed(4)
    for _ in range(10):
        mask = torch.rand(23, 31, generator=gen) < share
        seed = torch.rand(23, 31, generator=gen) < 0.01
        assert torch.equal(flood(seed, mask), flood_by_dilation(seed, mask))


def test_the_astronauts_fringe_is_one_piece_and_so_is_her_forehead(astronaut: Face) -> None:
    assert astronaut.parsing is not None
    label = astronaut.parsing[0, 0]
    part = forehead(astronaut)
    assert pieces(part & (label == HAIR)) == 1
    assert pieces(part & (label == SKIN)) == 1
    assert 0.2 < float((label == HAIR)[part].float().mean()) < 0.9
    assert not bool((part & (label != HAIR) & (label != SKIN) & (label != PARSING.index("brows"))).any())


@pytest.mark.parametrize("kind", [Mannequin, MaskSilicone])
def test_a_head_of_its_own_shows_none_of_the_fringe(kind: Any, astronaut: Face, people: list[Face]) -> None:
    fields = {"coverage": torch.tensor([COVERAGES.index("wig")])} if kind is MaskSilicone else {}
    face, covered = worn(kind(), astronaut, people[1], **fields)
    assert float(covered[forehead(astronaut)].float().mean()) > 0.98
    assert face.parsing is not None
    assert not bool((face.parsing[0, 0][covered] == HAIR).any())


def test_hair_combed_over_a_mask_is_one_piece_and_below_it_is_none(astronaut: Face, people: list[Face]) -> None:
    attack = MaskRigid(instruments=["rigid_plaster_bare"])
    common = {"top_mm": torch.tensor([70.0]), "eyes": torch.tensor([0]), "strap": torch.tensor([False])}
    _, below = worn(attack, astronaut, people[1], hair_over=torch.tensor([False]), **common)
    _, over = worn(attack, astronaut, people[1], hair_over=torch.tensor([True]), **common)
    assert float(below[forehead(astronaut)].float().mean()) > 0.98
    shown = below & ~over & forehead(astronaut)
    assert pieces(shown) == 1
    assert float(shown.sum()) > 0.15 * float(forehead(astronaut).sum())
    assert bool(below[over].all())


def test_a_wig_hides_the_fringe_wholly(astronaut: Face) -> None:
    changed, _ = worn(Wig(), astronaut, astronaut)
    assert astronaut.parsing is not None
    fringe = forehead(astronaut) & shrunk(astronaut.parsing[0, 0] == HAIR, 1)
    same = (changed.radiance == astronaut.radiance).all(1)[0]
    assert not bool(same[fringe].any())


def spoilt(face: Face, seed: int) -> Face:
    """Return the face with patches of hair strewn over its forehead and cheeks by a wrong parsing."""
    assert face.parsing is not None
    gen = torch.Generator().manual_seed(seed)
    label = face.parsing[0, 0].clone()
    spots = grown((torch.rand(label.shape, generator=gen) < 0.002), 2)
    inner = shrunk(label != HAIR, 5) & (label == SKIN)
    return face.replace(parsing=label.masked_fill(spots & inner, HAIR)[None, None])


@pytest.mark.parametrize("number", range(3))
def test_wrong_classes_leave_no_island_on_a_mask(number: int, people: list[Face]) -> None:
    face = spoilt(people[number], number)
    assert face.parsing is not None
    assert people[number].parsing is not None
    islands = (face.parsing != people[number].parsing)[0, 0]
    assert pieces(islands) > 5
    attack = MaskRigid(instruments=["rigid_plaster_bare"])
    common = {"eyes": torch.tensor([0]), "strap": torch.tensor([False])}
    _, below = worn(attack, face, people[3], hair_over=torch.tensor([False]), **common)
    _, over = worn(attack, face, people[3], hair_over=torch.tensor([True]), **common)
    assert bool((below & islands).any())
    assert bool(over[below & islands].all())
    _, dummy = worn(Mannequin(), face, people[3])
    assert bool(dummy[islands & forehead(face)].all())
