"""Each reader of the most used data sets, on a small tree in the official layout."""

import json
from pathlib import Path

import pytest
from real_trees import told, write

from spooflab.errors import DataError
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.run import list_data_set
from spooflab.experiments.readers import (
    casia_fasd,
    celeba_spoof,
    folder,
    manifest,
    msu_mfsd,
    oulu_npu,
    replay_attack,
    replay_mobile,
    siw,
    siw_mv2,
)
from spooflab.experiments.readers.catalogue import READERS
from spooflab.experiments.readers.item import Broken, RealItem


def test_oulu_npu(tmp_path: Path) -> None:
    for folder_, stems in {
        "Train_files": ("1_1_01_1", "1_1_01_2", "1_1_01_4"),
        "Dev_files": ("2_2_21_3",),
        "Test_files": ("6_3_36_5", "6_3_36_1"),
    }.items():
        for stem in stems:
            write(tmp_path, f"{folder_}/{stem}.avi")
    write(tmp_path, "Train_files/1_1_01_1.txt", "0,10,10,20,10\n")
    write(tmp_path, "Train_files/notes.avi")
    write(tmp_path, "Test_files/1_1_01_5.avi")  # a training user
    write(tmp_path, "Protocols/Protocol_1/Train.txt", "+1,1_1_01_1\n-1,1_1_01_2\n-1,1_1_01_4\n+1,1_1_01_3\n")
    write(tmp_path, "Protocols/Protocol_1/Test.txt", "-2,6_3_36_5\n+1, 6_3_36_1\n")
    write(tmp_path, "Protocols/Protocol_3/Train_6.txt", "+1,1_1_01_1\n-1,1_1_20_2\n")
    items, broken = told(list(oulu_npu.read(tmp_path)))
    live = items["Train_files/1_1_01_1.avi"]
    assert (live.species, live.subject, live.device, live.session) == ("bonafide", "01", "galaxy_s6_edge", "1")
    assert live.splits == {"oulu_p1": "train", "oulu_p3.6": "train"}
    assert live.face is not None
    assert live.face.form == "eyes_frame"
    species = {path.rpartition("/")[2][:-4]: item.species for path, item in items.items()}
    assert species["1_1_01_2"] == species["2_2_21_3"] == "print_photo"
    assert species["1_1_01_4"] == species["6_3_36_5"] == "replay_monitor"
    assert items["Dev_files/2_2_21_3.avi"].splits == {}
    assert items["Test_files/6_3_36_5.avi"].splits == {"oulu_p1": "test"}
    assert broken == [
        ("Protocols/Protocol_1/Train.txt", "label_conflict"),
        ("Train_files/notes.avi", "bad_name"),
        ("Test_files/1_1_01_5.avi", "wrong_folder"),
        ("1_1_20_2.avi", "missing"),
    ]


def test_casia_fasd(tmp_path: Path) -> None:
    stems = [*map(str, range(1, 9)), *(f"HR_{n}" for n in range(1, 5))]
    for stem in stems:
        write(tmp_path, f"train_release/3/{stem}.avi")
    for stem in stems[:-1]:
        write(tmp_path, f"test_release/30/{stem}.avi")
    write(tmp_path, "train_release/21/1.avi")
    items, broken = told(list(casia_fasd.read(tmp_path)))
    assert [items[f"train_release/3/{s}.avi"].species for s in stems] == [
        *["bonafide"] * 2, *["print_photo"] * 2, *["print_cut"] * 2, *["replay_tablet"] * 2,
        "bonafide", "print_photo", "print_cut", "replay_tablet",
    ]  # fmt: skip
    assert items["test_release/30/6.avi"].subject == "50"
    assert items["test_release/30/6.avi"].splits == {"casia_overall": "test", "casia_low": "test", "casia_cut": "test"}
    assert items["train_release/3/HR_1.avi"].splits["casia_video"] == "train"
    assert broken == [("train_release/21/1.avi", "bad_name"), ("test_release/30/HR_4.avi", "missing")]


def test_replay_attack(tmp_path: Path) -> None:
    real = "train/real/client001_session01_webcam_authenticate_adverse_1.mov"
    photo = "devel/attack/fixed/attack_mobile_client003_session01_mobile_photo_controlled.mov"
    printed = "test/attack/hand/attack_print_client009_session01_highdef_photo_adverse.mov"
    for path in (
        real,
        photo,
        printed,
        "train/real/client001.mov",
        "enroll/train/client001_session01_webcam_enroll.mov",
    ):
        write(tmp_path, path)
    write(tmp_path, f"face-locations/{real[:-4]}.face", "0 1 2 3 4\n")
    items, broken = told(list(replay_attack.read(tmp_path)))
    assert set(items) == {real, photo, printed}
    assert items[real].splits["replay_grandtest"] == items[real].splits["replay_print"] == "train"
    assert items[real].face is not None
    assert (items[photo].species, items[photo].subject) == ("replay_phone", "003")
    assert items[photo].splits == {f"replay_{n}": "dev" for n in ("grandtest", "mobile", "photo", "digitalphoto")}
    assert items[printed].species == "print_a4"
    assert items[printed].splits == {f"replay_{n}": "test" for n in ("grandtest", "print", "photo")}
    assert items[printed].facts["support"] == "hand"
    assert broken == [("train/real/client001.mov", "bad_name")]


def test_replay_mobile(tmp_path: Path) -> None:
    real = "train/real/client001_session01_authenticate_mobile_adverse.mov"
    attack = "devel/attack/attack_client005_session01_mattescreen_fixed_tablet_photo_lightoff.mov"
    for path in (real, attack, "test/attack/client005_session01_authenticate_mobile_adverse.mov"):
        write(tmp_path, path)
    items, broken = told(list(replay_mobile.read(tmp_path)))
    assert (items[real].orientation, items[real].device) == ("rot90ccw", "lg_g4")
    assert (items[attack].orientation, items[attack].species) == ("transpose", "replay_monitor")
    assert items[attack].splits == {"replay_mobile_grandtest": "dev", "replay_mobile_mattescreen": "dev"}
    assert [reason for _, reason in broken] == ["bad_name"]


def test_msu_mfsd(tmp_path: Path) -> None:
    write(tmp_path, "train_sub_list.txt", "02\n03\n")
    write(tmp_path, "test_sub_list.txt", "01\n")
    names = (
        "real/real_client003_android_SD_scene01.mp4",
        "attack/attack_client001_laptop_SD_iphone_video_scene01.mov",
        "attack/attack_client002_android_SD_printed_photo_scene01.mp4",
        "real/attack_client002_android_SD_ipad_video_scene01.mp4",
        "attack/attack_client002_android_SD_scene01.mp4",
    )
    for name in names:
        write(tmp_path, f"scene01/{name}")
        write(tmp_path, f"scene01/{name[:-4]}.face", "0,1,1,9,9,1,1,1,1\n")
    items, broken = told(list(msu_mfsd.read(tmp_path)))
    turned, phone, printed = (items[f"scene01/{name}"] for name in names[:3])
    assert (turned.orientation, turned.face, turned.splits) == ("rot180", None, {"msu_mfsd": "train"})
    assert (phone.species, phone.splits, phone.subject) == ("replay_phone", {"msu_mfsd": "test"}, "001")
    assert printed.species == "print_a4"
    assert printed.face is not None
    assert sorted(reason for _, reason in broken) == ["bad_name", "wrong_folder"]


def test_siw(tmp_path: Path) -> None:
    names = {
        "live": "Train/live/003/003-1-1-1-1.mov",
        "print": "Train/spoof/003/003-1-2-1-1.mov",
        "replay2": "Train/spoof/003/003-2-3-2-1.mov",
        "tested2": "Test/spoof/004/004-2-3-2-1.mp4",
        "tested_live": "Test/live/004/004-1-1-1-1.mov",
    }
    for name in names.values():
        write(tmp_path, name)
    write(tmp_path, "Test/live/004/004-1-2-1-1.mov")
    items, broken = told(list(siw.read(tmp_path)))
    splits = {name: items[path].splits for name, path in names.items()}
    assert set(splits["live"]) == {"siw_p1", *(f"siw_p2.{m}" for m in range(1, 5)), "siw_p3.1", "siw_p3.2"}
    assert set(splits["print"]) == {"siw_p1", "siw_p3.1"}
    assert set(splits["replay2"]) == {"siw_p1", "siw_p2.1", "siw_p2.3", "siw_p2.4", "siw_p3.2"}
    assert set(splits["tested2"]) == {"siw_p1", "siw_p2.2", "siw_p3.1"}
    assert set(splits["tested_live"].values()) == {"test"}
    assert items[names["live"]].first_frames == {"siw_p1": 60}
    assert items[names["tested2"]].first_frames == {}
    assert items[names["replay2"]].instrument == "replay_medium_2"
    assert broken == [("Test/live/004/004-1-2-1-1.mov", "wrong_folder")]


def test_siw_mv2(tmp_path: Path) -> None:
    for path in (
        "Live/Live_1.mov", "Live/Live_2.mov", "Spoof/Makeup_Cosmetic/Makeup_Co_1.mov",
        "Spoof/Mannequin/Mask_Mann_2.mov", "Spoof/Print/Mask_Half_9.mov", "Spoof/Wax/a.mov",
    ):  # fmt: skip
        write(tmp_path, path)
    for name, lines in {
        "trainlist_live": "Live_1", "testlist_live": "Live_2", "trainlist_all": "Makeup_Co_1",
        "testlist_all": "Mask_Mann_2\nPaper_7", "train_A_pretrain": "Live_1\nMakeup_Co_1", "test_C_race": "Live_2",
    }.items():  # fmt: skip
        write(tmp_path, f"pro_3_text/{name}.txt", lines)
    items, broken = told(list(siw_mv2.read(tmp_path)))
    makeup = items["Spoof/Makeup_Cosmetic/Makeup_Co_1.mov"]
    assert makeup.species == "makeup_cosmetic"
    assert (makeup.splits["siw_mv2_p1"], makeup.splits["siw_mv2_p2.Co"]) == ("train", "test")
    assert makeup.splits["siw_mv2_p2.Eye"] == makeup.splits["siw_mv2_p3.C"] == "train"
    dummy = items["Spoof/Mannequin/Mask_Mann_2.mov"]
    assert (dummy.species, dummy.splits) == ("mannequin", {"siw_mv2_p1": "test", "siw_mv2_p2.Mann": "test"})
    assert len([p for p in items["Live/Live_2.mov"].splits if p.startswith("siw_mv2_p2.")]) == 14
    assert items["Live/Live_2.mov"].splits["siw_mv2_p3.C"] == "test"
    assert broken == [
        ("Spoof/Print/Mask_Half_9.mov", "label_conflict"), ("Spoof/Wax/a.mov", "wrong_folder"), ("Paper_7", "missing"),
    ]  # fmt: skip


def label(kind: int) -> list[int]:
    return [*[0] * 40, kind, 1, 2, int(kind > 0)]


def test_celeba_spoof(tmp_path: Path) -> None:
    labels = {f"Data/train/7/{'spoof' if kind else 'live'}/{kind:06d}.jpg": label(kind) for kind in range(11)}
    for path in labels:
        write(tmp_path, path)
    write(tmp_path, "Data/train/7/live/000000_BB.txt", "10 20 30 40 0.99")
    write(tmp_path, "Data/train/7/live/unlabelled.png")
    labels |= {"Data/train/8/live/000001.jpg": label(3), "Data/train/8/live/000002.jpg": label(0)}
    write(tmp_path, "Data/train/8/live/000001.jpg")
    write(tmp_path, "metas/intra_test/train_label.json", json.dumps(labels))
    write(
        tmp_path, "metas/protocol2/low/test_label.json", json.dumps({"Data/train/7/live/000000.jpg": label(0), "x": 1})
    )
    items, broken = told(list(celeba_spoof.read(tmp_path)))
    assert [items[path].species for path in list(labels)[:11]] == [species for species, _ in celeba_spoof.TYPES]
    live = items["Data/train/7/live/000000.jpg"]
    assert live.splits == {"celeba_spoof_intra_test": "train", "celeba_spoof_protocol2.low": "test"}
    assert live.face is not None
    mask = items["Data/train/7/spoof/000010.jpg"]
    assert (mask.subject, mask.donor, mask.group) == ("7_wearer", "7", "7")
    assert sorted(broken) == [
        ("Data/train/7/live/unlabelled.png", "no_label"), ("Data/train/8/live/000001.jpg", "label_conflict"),
        ("Data/train/8/live/000002.jpg", "missing"), ("x", "bad_label"),
    ]  # fmt: skip


def test_folder(tmp_path: Path) -> None:
    for path in ("train/live/anna/1.png", "val/replay_phone/2.mp4", "test/Spoof/ben/3.jpg", "wax/4.png", "5.png"):
        write(tmp_path, path)
    items, broken = told(list(folder.read(tmp_path)))
    assert (items["train/live/anna/1.png"].subject, items["train/live/anna/1.png"].splits) == (
        "anna",
        {"folder": "train"},
    )
    phone = items["val/replay_phone/2.mp4"]
    assert (phone.kind, phone.species, phone.facts["subjects_known"]) == ("video", "replay_phone", 0)
    assert items["test/Spoof/ben/3.jpg"].species == "physical_unspecified"
    assert sorted(broken) == [("5.png", "bad_layout"), ("wax/4.png", "unknown_class")]


def test_manifest(tmp_path: Path) -> None:
    rows = [
        "path,label,subject,split,x,y,w,h", "a.png,live,anna,train,1,2,30,40", "b.png,wax,,,,,,",
        "c.png,spoof,ben,,1,,,", "d.gif,live,,,,,,", "e.png,live,,later,,,,", "a.png,live,anna,,,,,",
        "f.mp4,mask_silicone,ben,test,,,,",
    ]  # fmt: skip
    write(tmp_path, "manifest.csv", "\n".join(rows))
    items, broken = told(list(manifest.read(tmp_path)))
    assert set(items) == {"a.png", "f.mp4"}
    assert (items["a.png"].box, items["a.png"].splits) == ((1.0, 2.0, 30.0, 40.0), {"manifest": "train"})
    assert items["f.mp4"].species == "mask_silicone"
    assert dict(broken) == {
        "a.png": "named_twice", "b.png": "unknown_class", "c.png": "bad_box", "d.gif": "unsupported_format",
        "e.png": "bad_split",
    }  # fmt: skip
    write(tmp_path, "manifest.csv", "path,lable\na.png,live\n")
    with pytest.raises(DataError, match="lable"):
        list(manifest.read(tmp_path))


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_folder_that_is_another_data_set_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path, "something/else.txt")
    with pytest.raises(DataError, match=r"something|nothing fits"):
        list_data_set(IngestConfig(reader=name, root=str(tmp_path), licence="none", consent="none"))
    with pytest.raises(DataError, match="no folder"):
        list(READERS[name](tmp_path / "absent"))


def test_linked_folders_and_hidden_files_are_not_entered(tmp_path: Path) -> None:
    write(tmp_path, "outside/live/1.png")
    write(tmp_path, "root/live/.hidden.png")
    write(tmp_path, "root/live/2.png")
    (tmp_path / "root/spoof").symlink_to(tmp_path / "outside/live")
    items, broken = told(list(folder.read(tmp_path / "root")))
    assert set(items) == {"live/2.png"}
    assert broken == []


ODD = (
    "",
    "x",
    "1_1_01_1",
    "attack_client001",
    "003-1-1-1-1",
    "client001",
    "1",
    "HR_1",
    "Live_1",
    "ü ,\"'",
    "1_01_0_1_1_1",
)
FOLDERS = (
    "Train_files", "train_release/1", "train/real", "train/attack/hand", "train", "scene01/real", "Train/live/003",
    "Live", "Spoof/Print", "Data/train/1/live", "Data", "Data/live", "pro_3_text", "Protocols/Protocol_1", "protocol",
    "metas/a",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(READERS))
def test_odd_names_and_empty_files_are_told_and_stop_no_reader(name: str, tmp_path: Path) -> None:
    for place in FOLDERS:
        for stem in ODD:
            for suffix in (".avi", ".mov", ".png", ".hdf5", ".txt"):
                write(tmp_path, f"{place}/{stem or 'é'}{suffix}")
    write(tmp_path, "labels.csv", "image_path,label\n,\n../x.png,bonafide\n")
    write(tmp_path, "manifest.csv", "path,label\n,\n../x.png,live\n")
    write(tmp_path, "train.parquet", b"no")
    write(tmp_path, "Protocol-train.txt", "a\nb 0_0_0\n../x.png 9\n")
    entries = list(READERS[name](tmp_path))
    again = list(READERS[name](tmp_path))
    assert entries == again
    assert all(isinstance(entry, RealItem) or entry.reason for entry in entries)
    assert any(isinstance(entry, Broken) for entry in entries)
