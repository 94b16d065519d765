"""The fifty annotated slides of Camelyon17, and who trains, validates and tests with them.

Hospital, patient, node and lesion are public: the CAMELYON17 challenge lists which slides have their lesions outlined,
and the stage of every slide (`itc`: isolated tumour cells, up to 0.2 mm; `micro`: up to 2 mm; `macro`: above). Four
outlined slides are called negative there (022 4, 038 2, 086 0, 086 4); they count as `itc` here.

`benchmarks/studies/patients.py` found the split, patient by patient, from the patches that this list lets expect: as
many normal ones from every slide, since WILDS draws them from a hospital's normal tissue at random, and tumour ones in
proportion to `EXPECTED`. Every outlined slide has tumour and normal patches, so no split of any hospital lacks a class.
For a copy of the data the same script prints what share of the patches each split really has.
"""

from dataclasses import dataclass

EXPECTED = {"itc": 10, "micro": 300, "macro": 6000}
"""Tumour patches of 31 micrometres that a lesion fills: at most 40, at most 4000, and more."""

LARGEST = {("051", 2): 28_000}
"""One slide of UMCU alone is known to hold about 32,000 of the hospital's 85,054 patches."""


@dataclass(frozen=True)
class Slide:
    """One slide with outlined lesions.

    Attributes:
        client: The hospital, "0" to "4".
        patient: WILDS' text of three digits.
        node: Which of the patient's lymph nodes.
        lesion: Its largest lesion: `itc`, `micro` or `macro`.
        split: Where the patient's patches go: `train`, `validation` or `test`.
    """

    client: str
    patient: str
    node: int
    lesion: str
    split: str

    @property
    def expected(self) -> tuple[int, int]:
        """Normal and tumour patches to expect, in proportion to other slides of the hospital."""
        return 1000, LARGEST.get((self.patient, self.node), EXPECTED[self.lesion])


_TABLE = """
0 004 4 itc train
0 009 1 micro validation
0 010 4 micro validation
0 012 0 macro test
0 015 1 macro train
0 015 2 macro train
0 016 1 itc test
0 017 1 itc train
0 017 2 macro train
0 017 4 micro train
1 020 2 micro train
1 020 4 macro train
1 021 3 micro train
1 022 4 itc train
1 024 1 itc train
1 024 2 itc train
1 034 3 macro test
1 036 3 micro train
1 038 2 itc test
1 039 1 micro validation
2 040 2 itc train
2 041 0 itc train
2 042 3 macro validation
2 044 4 macro test
2 045 1 micro train
2 046 3 micro train
2 046 4 micro train
2 048 1 micro train
2 051 2 macro train
2 052 1 macro test
3 060 3 itc train
3 061 4 micro train
3 062 2 macro train
3 064 0 itc train
3 066 2 micro validation
3 067 4 micro validation
3 068 1 itc train
3 072 0 itc test
3 073 1 macro train
3 075 4 macro test
4 080 1 itc train
4 081 4 itc train
4 086 0 itc train
4 086 4 itc train
4 087 0 itc validation
4 088 1 micro validation
4 089 3 itc test
4 092 1 macro train
4 096 0 macro train
4 099 4 macro test
"""

SLIDES = tuple(
    Slide(client, patient, int(node), lesion, split)
    for client, patient, node, lesion, split in (line.split() for line in _TABLE.strip().splitlines())
)
"""Sorted by patient and node: WILDS numbers slides in this order."""

SPLIT_OF = {slide.patient: slide.split for slide in SLIDES}
"""Where a patient's patches go."""
