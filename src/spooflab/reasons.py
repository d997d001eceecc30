"""Every code that says why a stranger's file, or a part of it, did not become a picture: the one list of them.

Reports count by these codes. What goes wrong later, in an attack or a scene, has codes of its own beside it.
"""

from collections.abc import Mapping

PICTURE: Mapping[str, str] = {
    "zero_byte": "the file is empty",
    "unsupported_format": "neither JPEG, PNG, WebP nor BMP; of a clip: a suffix that no reader has",
    "undecodable": "the decoder gives up",
    "truncated": "the file ends too early",
    "animated": "several frames in one picture",
    "too_many_pixels": "more pixels than are decoded",
    "too_small": "a side is shorter than is decoded",
    "bad_icc_profile": "a colour profile that cannot be read",
    "out_of_memory": "to decode it takes more memory than the decoder is given",
}
"""Of one picture: `spooflab.images.decode_image` gives these and no others."""

DECODER: Mapping[str, str] = {
    "decoder_died": "the decoder's process ended at it, twice",
    "decoder_hung": "the decoder's process had to be ended: it did not get done with it in time",
}
"""Of whatever `spooflab.bounded_decoder` reads, besides those of the file itself."""

FILE: Mapping[str, str] = {
    "bad_name": "a name that cannot be written down (not UTF-8, control characters), or that the layout does not know",
    "path_escape": "a path that leads out of the folder",
    "missing": "named by a list, and not there",
    "unreadable": "not a file, or one that the system does not open",
    "not_a_file": "a folder, a pipe or a device",
    "file_too_large": "more bytes than are read",
    "file_changed": "not the content that was recorded",
    "not_text": "a list or an annotation that is not UTF-8",
}
"""Of a file before anything in it is decoded."""

CLIP: Mapping[str, str] = {
    "bad_video": "a container or a stream that cannot be read",
    "bad_hdf5": "HDF5 that is damaged, of another layout, or that names further files",
    "bad_parquet": "Parquet that is damaged",
    "no_frames": "a clip without any",
    "frame_missing": "the stream ends, or breaks, before that frame",
    "frame_corrupt": "the decoder marks that frame as damaged",
    "no_bytes": "a cell without an embedded picture",
    "no_image": "a row without a picture",
}
"""Of videos, HDF5 and Parquet."""

LAYOUT: Mapping[str, str] = {
    "bad_box": "a face's box that is none",
    "bad_columns": "columns that are not those of the layout",
    "bad_face_file": "an annotation of the face that is not of its form",
    "bad_label": "a label that is not of its form",
    "bad_layout": "a place in the folders that the layout does not know",
    "bad_list_line": "a line of a list that is not of its form",
    "bad_split": "a part that is neither train, dev nor test",
    "label_conflict": "two labels that contradict each other",
    "named_twice": "two rows for one file",
    "no_label": "no label names it",
    "unknown_class": "a class that is no species and no common word",
    "wrong_folder": "a file in a folder that contradicts its name",
}
"""Of what a reader of data sets finds in names and lists."""

FACE: Mapping[str, str] = {
    "no_annotation": "the data set tells no box of its face",
    "no_landmarks": "nobody says where the face is",
    "no_face": "no face is found",
    "profile_face": "the face is turned too far",
    "face_too_small": "the face has too few pixels",
    "face_out_of_frame": "the face lies outside of the picture",
    "too_thin": "so long and narrow that nothing is left of the short side when it is scaled",
}
"""Of a picture that was decoded, by its face and shape."""

REASONS: Mapping[str, str] = {**PICTURE, **DECODER, **FILE, **CLIP, **LAYOUT, **FACE}
"""All of them, with a sentence for a person."""
