"""One line in each catalogue; loaded as a plugin of pytest (-p toys), the contract tests have them too."""

from dataclasses import replace

import toy_data
import toy_detector

from synthcp.data.specs import DATASETS
from synthcp.experiments.table4 import TABLE4
from synthcp.experiments.tables import TABLES
from synthcp.nn.catalogue import TRUNKS
from synthcp.rivals.catalogue import DETECTORS
from synthcp.segmentation.catalogue import SEGMENTERS, BuiltIn
from synthcp.synthesis.catalogue import GENERATORS

DETECTORS["toy"] = toy_detector.fit_toy
GENERATORS["toy"] = "toy_generator:toy"
SEGMENTERS["toy"] = BuiltIn("toy_segmenter:toy", layers=1)
TRUNKS["toy"] = "toy_trunk:toy"
DATASETS["toy"] = toy_data.SOURCE
TABLES["toy"] = replace(TABLE4, name="toy", models=("toy",), rows={**TABLE4.rows, "the toy": "toy"})
