"""Each reader of the other data sets, on a small tree in its layout."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from real_trees import png, told, write

from spooflab.errors import DataError
from spooflab.experiments.readers import hf_parquet, hifimask, hq_wmca, synthaspoof, three_dmad, uniattack, wmca
from spooflab.provenance import COMPOSITE_WITH_TRAINED, DIGITAL_CAPTURE, TRAINED_ALGORITHMIC_MEDIA


def test_three_dmad(tmp_path: Path) -> None:
    for path in ("session01/Data/04_01_05.hdf5", "session03/Data/13_03_01.hdf5", "session03/Data/18_03_01.hdf5"):
        write(tmp_path, path)
    items, broken = told(list(three_dmad.read(tmp_path)))
    assert items["session01/Data/04_01_05.hdf5"].splits == {"three_dmad": "train"}
    mask = items["session03/Data/13_03_01.hdf5"]
    assert (mask.species, mask.subject, mask.donor, mask.splits["three_dmad"]) == (
        "mask_rigid",
        "13_wearer",
        "13",
        "test",
    )
    assert broken == [("session03/Data/18_03_01.hdf5", "bad_name")]


def test_wmca(tmp_path: Path) -> None:
    base = "face-station/31.01.18"
    for name in ("514_01_035_1_05", "001_02_000_0_01", "100_03_015_2_10", "002_01_003_3_05", "003_01_001_1_03", "bad"):
        write(tmp_path, f"{base}/{name}.hdf5")
    rows = [
        ",client,path,group,label", f"0,514,{base}/514_01_035_1_05,train,attack",
        f"1,1,{base}/001_02_000_0_01,eval,real", f"2,9,{base}/009_01_000_0_00,dev,real", "3,nonsense",
    ]  # fmt: skip
    write(tmp_path, "PROTOCOL-grandtest.csv", "\n".join(rows))
    items, broken = told(list(wmca.read(tmp_path)))
    species = {path.rpartition("/")[2][:-5]: item.species for path, item in items.items()}
    assert species == {
        "514_01_035_1_05": "partial_funny_eye", "001_02_000_0_01": "bonafide", "100_03_015_2_10": "mask_paper",
        "002_01_003_3_05": "replay_unspecified",
    }  # fmt: skip
    assert items[f"{base}/514_01_035_1_05.hdf5"].splits == {"wmca_grandtest": "train"}
    assert items[f"{base}/001_02_000_0_01.hdf5"].splits == {"wmca_grandtest": "test"}
    assert [reason for _, reason in broken] == ["bad_list_line", "unknown_class", "bad_name", "missing"]


def test_hq_wmca_guesses_no_attack_type(tmp_path: Path) -> None:
    names = ("1_01_0001_0000_00_00_000-241b2419", "1_01_0002_0000_05_01_003-aa", "1_01_0002_0000_05_02_003-ab")
    for name in names:
        write(tmp_path, f"01.03.19/{name}.h5")
    items, broken = told(list(hq_wmca.read(tmp_path)))
    assert [item.species for item in items.values()] == ["bonafide"]
    assert [reason for _, reason in broken] == ["unknown_class"] * 2
    write(tmp_path, "classes.csv", "type,subtype,species\n5,,mask_rigid\n5,2,mask_silicone\n")
    items, broken = told(list(hq_wmca.read(tmp_path)))
    assert [item.species for item in items.values()] == ["bonafide", "mask_rigid", "mask_silicone"]
    write(tmp_path, "classes.csv", "type,species\n5,wax\n")
    with pytest.raises(DataError, match="wax"):
        list(hq_wmca.read(tmp_path))


def test_hifimask(tmp_path: Path) -> None:
    for name in ("1_01_0_1_1_1", "1_01_3_1_1_1", "2_54_1_6_5_8", "1_01_0_1_1_0", "notes"):
        write(tmp_path, f"Data/{name}/0001.png")
    write(
        tmp_path, "protocol/CASIA_HiFiMask@p2.1_image_train.txt", "Data/1_01_0_1_1_1/0001.png 0\n1_09_0_1_1_1/1.png 0\n"
    )
    items, broken = told(list(hifimask.read(tmp_path)))
    assert set(items) == {"Data/1_01_0_1_1_1", "Data/1_01_3_1_1_1", "Data/2_54_1_6_5_8"}
    live, resin, clear = items.values()
    assert (live.kind, live.species, live.device, live.splits) == (
        "frames", "bonafide", "iphone_11", {"hifimask_p2.1": "train"},
    )  # fmt: skip
    assert (resin.species, resin.subject, resin.donor) == ("mask_rigid", "01_wearer", "01")
    assert (clear.species, clear.group, clear.device) == ("mask_transparent", "54", "hjim")
    assert broken == [("Data/notes", "bad_name"), ("1_09_0_1_1_1", "missing")]


def test_uniattack_plus(tmp_path: Path) -> None:
    for number in range(len(uniattack.LABELS)):
        write(tmp_path, f"Data-train/{number}.png")
    lines = [f"Data-train/{n}.png {label}" for n, label in enumerate(uniattack.LABELS)]
    write(tmp_path, "Protocol-train.txt", "\n".join([*lines, "Data-train/99.png 0_0_0", "Data-train/1.png 3_0_0"]))
    write(tmp_path, "Protocol-test.txt", "Data-test/1.png\n")
    items, broken = told(list(uniattack.read(tmp_path)))
    assert [item.species for item in items.values()] == [species for species, _ in uniattack.LABELS.values()]
    sources = {item.own_class: item.source_type for item in items.values()}
    assert sources["live face"] == sources["print"] == DIGITAL_CAPTURE
    assert sources["face swap"] == COMPOSITE_WITH_TRAINED
    assert sources["style"] == TRAINED_ALGORITHMIC_MEDIA
    assert [reason for _, reason in broken] == ["missing", "unknown_class", "no_label"]


def test_uniattack_by_folder(tmp_path: Path) -> None:
    for path in ("live/1.png", "simswap/2.png", "spoof/a/3.png", "wax/4.png"):
        write(tmp_path, f"Data/{path}")
    write(tmp_path, "protocol/UniAttackData@p1_image_dev.txt", "simswap/2.png 1\n")
    items, broken = told(list(uniattack.read(tmp_path)))
    assert {item.own_class: item.species for item in items.values()} == {
        "live": "bonafide", "simswap": "swap_unspecified", "spoof": "physical_unspecified",
    }  # fmt: skip
    assert items["Data/simswap/2.png"].splits == {"uniattack_p1": "dev"}
    assert broken == [("Data/wax/4.png", "unknown_class")]


def test_uniattack_challenge_does_not_guess_what_an_attack_of_p1_is(tmp_path: Path) -> None:
    for protocol in ("p1", "p2.1"):
        for number in (1, 2):
            write(tmp_path, f"{protocol}/train/{number}.jpg")
        lines = f"{protocol}/train/1.jpg 1\n{protocol}/train/2.jpg 0\n"
        write(tmp_path, f"{protocol}/train_label.txt", lines)
    items, broken = told(list(uniattack.read(tmp_path)))
    assert items["p2.1/train/2.jpg"].species == "digital_unspecified"
    assert items["p1/train/1.jpg"].splits == {"uniattack_challenge_p1": "train"}
    assert broken == [("p1/train/2.jpg", "unknown_class")]
    write(tmp_path, "p1/train_label.txt", "p1/train/1.jpg 1\n")
    with pytest.raises(DataError, match="labels"):
        list(uniattack.read(tmp_path))


def test_synthaspoof(tmp_path: Path) -> None:
    rows = "image_path,label\nbf/Img12.png,bonafide\npr/Img12.png,attack\npr/x.png,wax\nbf/Img12.png,bonafide\n"
    write(tmp_path, "labels.csv", rows)
    items, broken = told(list(synthaspoof.read(tmp_path)))
    assert {item.subject for item in items.values()} == {"12"}
    assert {item.source_type for item in items.values()} == {TRAINED_ALGORITHMIC_MEDIA}
    assert sorted(reason for _, reason in broken) == ["named_twice", "unknown_class"]


def test_hf_parquet(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["live", "spoof"], "_type": "ClassLabel"}}
    table = pa.table(
        {"image": [{"bytes": png(1), "path": None}] * 3, "label": [0, 1, 7], "subject": ["anna", None, "ben"]}
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "test-00000-of-00001.parquet")
    write(tmp_path, "train-0.parquet", b"PAR1 cut short")
    pq.write_table(pa.table({"picture": [1]}), tmp_path / "other.parquet")
    items, broken = told(list(hf_parquet.read(tmp_path)))
    first, second = items.values()
    assert (first.species, first.subject, first.splits, first.row) == ("bonafide", "anna", {"hf": "test"}, 0)
    assert (second.species, second.facts["subjects_known"]) == ("physical_unspecified", 0)
    assert [reason for _, reason in broken] == ["bad_columns", "unknown_class", "bad_parquet"]
