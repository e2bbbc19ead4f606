"""The config keys this package adds to Detectron2's, each with its meaning, unit and place in the paper."""

from __future__ import annotations

import sys
from pathlib import Path

from detectron2.config import CfgNode as CN
from detectron2.config import get_cfg

__all__ = ["CONFIGS", "add_lcrnet_config", "load_config"]

_INSTALLED = Path(__file__).parent / "configs"
#: The configs that come with the package: inside it where it is installed, beside it in a checkout.
CONFIGS = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent / "configs"


def load_config(path: str | Path, opts: list[str] | None = None) -> CN:
    """Detectron2's defaults with this package's, changed by a YAML file and then by KEY VALUE pairs.

    Args:
        path: a file, or a name below the package's configs, such as "quick_schedules/lcrnet_lite0_demo.yaml".
        opts: keys and values in turn, as on the command line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a key in the file that there is not, both named in the message; a project that is not imported.
        KeyError: the same of `opts`.
    """
    file = Path(path) if Path(path).is_file() else CONFIGS / path
    if not file.is_file():
        raise FileNotFoundError(f"no config at {path}, nor among {CONFIGS}")
    cfg = get_cfg()
    add_lcrnet_config(cfg)
    try:
        cfg.merge_from_file(str(file), allow_unsafe=False)  # Detectron2's default runs the code in a YAML's tags
    except KeyError as error:
        raise ValueError(f"{file}: {error.args[0]}") from error
    cfg.merge_from_list(opts or [])
    project = cfg.MODEL.LCRNET.PROJECT
    if project and project not in sys.modules:
        raise ValueError(
            f"{file} needs the module {project!r}, which was not imported: give --import {project} (projects/{project} "
            "of a checkout), in Python lcrnet_d2.projects.import_project"
        )
    return cfg


def add_lcrnet_config(cfg: CN) -> None:
    """Adds LCR-Net's keys, and turns the defaults of Detectron2 that would harm it."""
    cfg.register_renamed_key(
        "MODEL.LCRNET.LAST_PIXEL_BOXES",
        "MODEL.ROI_HEADS.NAME 'LastPixelROIHeads' with MODEL.LCRNET.PROJECT 'released_models' where it was True",
        "convert the published file again, or replace the key; where it was False, delete it.",
    )
    cfg.register_renamed_key(
        "MODEL.LCRNET.RES5_STRIDE",
        "MODEL.ROI_BOX_HEAD.NAME 'Res5BoxHead' (stride 2) or 'Res5BoxHeadOfStride1'",
        "delete it where the box head is another.",
    )
    _adapt_detectron2_defaults(cfg)
    _add_model_keys(cfg)
    _add_integration_keys(cfg)
    _add_joint_refinement_keys(cfg)
    _add_inverted_residuals_keys(cfg)
    _add_data_keys(cfg)
    _add_evaluation_keys(cfg)


def _adapt_detectron2_defaults(cfg: CN) -> None:
    cfg.MODEL.PROPOSAL_GENERATOR.NAME = "LCRNetRPN"
    cfg.MODEL.ROI_HEADS.NAME = "LCRNetROIHeads"
    # "One quarter of the boxes are on humans" (Sec. 3.4), IoU 0.5 (Sec. 3.1).
    cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION = 0.25
    cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS = [0.5]
    cfg.MODEL.ROI_HEADS.IOU_LABELS = [0, 1]
    # One category, the person: what the evaluator and the visualizer see. Anchor poses are counted apart.
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    # Images without people are background worth learning; True would silently leave them out.
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    # "SGD" or "ADAMW".
    cfg.SOLVER.OPTIMIZER = "SGD"
    # With AdamW: learning rate of the pretrained backbone and joint heat maps, as a share of BASE_LR.
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1
    # The weights' exponential average is evaluated and saved as the model: decay per iteration, 0 for none.
    cfg.SOLVER.AVERAGE_DECAY = 0.0


def _add_model_keys(cfg: CN) -> None:
    cfg.MODEL.LCRNET = CN()
    # Name of a lcrnet_d2.structures.Skeleton: its J joints, in order.
    cfg.MODEL.LCRNET.SKELETON = "BODY13"
    # K of Sec. 3, full-body anchor poses.
    cfg.MODEL.LCRNET.NUM_ANCHOR_POSES = 100
    # Doubles the classes: class K + k is anchor pose k in a box around the upper body (Sec. 4.2).
    cfg.MODEL.LCRNET.UPPER_BODY = False
    # .npz of tools/build_anchor_poses.py, or "lcrnet://NAME/anchor_poses" of a published model. Needed in training;
    # a checkpoint carries its own.
    cfg.MODEL.LCRNET.ANCHOR_POSES = ""
    # Regression targets (Eq. 4) are multiplied by this before the smooth L1 of Eq. 5: errors in box units
    # and metres are mostly below 0.2, where beta 1 makes the loss quadratic and its gradient small.
    # 1 in the paper's text, 5 in the released models.
    cfg.MODEL.LCRNET.POSE_REG_SCALE = 5.0
    # Beta of the smooth L1 of Eq. 5: errors beyond it, after POSE_REG_SCALE, count linearly.
    cfg.MODEL.LCRNET.POSE_REG_BETA = 1.0
    # Of the three 3D coordinates' part of the regression loss beside the two 2D ones'. 1 in Eq. 4.
    cfg.MODEL.LCRNET.POSE_REG_WEIGHT_3D = 1.0
    # Module that registers parts of this network and must be imported before (--import of the tools), such as
    # "released_models" of projects/; "" for none.
    cfg.MODEL.LCRNET.PROJECT = ""
    # Dropout after each fully-connected layer of VGGBoxHead; 0.5 in VGG-16 and [22].
    cfg.MODEL.LCRNET.DROPOUT = 0.0
    # Start the classification and regression layers anew although MODEL.WEIGHTS holds some:
    # for fine-tuning with another K or skeleton. Otherwise a head that does not fit is an error.
    cfg.MODEL.LCRNET.NEW_HEAD = False


def _add_integration_keys(cfg: CN) -> None:
    cfg.MODEL.LCRNET.INTEGRATION = CN()
    node = cfg.MODEL.LCRNET.INTEGRATION
    # "ppi" (Sec. 3.5) or "nms", the suppression it is compared with.
    node.METHOD = "ppi"
    # (box, class) pairs with a probability of at least this / C, classes of upper bodies included, are decoded, and
    # at least MIN_PROPOSALS of them.
    node.MIN_PROPOSAL_SCORE = 0.1
    node.MIN_PROPOSALS = 500
    # Boxes around the 2D joints are clipped to the image before they are compared.
    node.CLIP_BOXES = True
    # Proposals overlapping a seed by more (IoU) form its group. 0.08 on MPII (Sec. 4.2).
    node.IOU_THRESH = 0.2
    # T_3D of Eq. 6, metres. 0.2 on Human3.6M (Sec. 4.1), 0.1 on MPII (Sec. 4.2), 0.3 in the released models.
    node.T_3D = 0.3
    # True: every mode of a group is a person, as the paper's text has it; False: its best mode alone.
    node.ALL_MODES = False
    # Second and later modes of a group start at seeds of at least this probability. 0 in the paper.
    node.MIN_SEED_SCORE = 0.05
    # A mode counts if its S (Eq. 7) is above this. 0 in the paper.
    node.MIN_MODE_SCORE = 0.002
    # Weight of upper-body classes in the mean of knees and ankles (Eq. 7). 1 in the paper.
    node.LOWER_BODY_WEIGHT = 0.1
    # People with a lower score are not reported by the predictor, nor counted in evaluation. S is a sum that may
    # exceed 1, hence a key for each method; both are best chosen on validation data (TEST.LCRNET). With
    # JOINT_REFINEMENT.USUAL_HEAT the PPI threshold is of the score that heat maps give.
    node.SCORE_THRESH_PPI = 0.0
    node.SCORE_THRESH_NMS = 0.0


def _add_inverted_residuals_keys(cfg: CN) -> None:
    cfg.MODEL.INVERTED_RESIDUALS = CN()
    node = cfg.MODEL.INVERTED_RESIDUALS
    # "efficientnet_lite0" or "mobilenet_v2_x1.5", the body of MoveNet MultiPose.
    node.VARIANT = "efficientnet_lite0"
    # Features by stride: "s4", "s8", "s16", "s32". Nothing is computed beyond the coarsest.
    node.OUT_FEATURES = ["s8", "s16", "s32"]
    # "FrozenBN" keeps the statistics of the weights, "BN" trains them; frozen blocks are always FrozenBN. MoveNet's
    # weights need FrozenBN: theirs are merged into the convolutions.
    node.NORM = "FrozenBN"
    # The stem and this many of the blocks get no gradient; -1 freezes nothing. MoveNet's first three blocks have
    # numbers of up to 1121 in their filters, which no learning rate fits: freeze 3.
    node.FREEZE_BLOCKS = 5
    cfg.register_renamed_key("MODEL.EFFICIENTNET_LITE", "MODEL.INVERTED_RESIDUALS", 'VARIANT "efficientnet_lite0"')


def _add_joint_refinement_keys(cfg: CN) -> None:
    cfg.MODEL.LCRNET.JOINT_REFINEMENT = CN()
    node = cfg.MODEL.LCRNET.JOINT_REFINEMENT
    # Heat maps of the joints, trained with the poses; PPI's joints move to them (modeling/joint_refinement.py).
    node.ENABLED = False
    # A feature map of stride 4: "joint_map" of inverted residuals with FPN and of VGG-16, "p2" of other FPNs.
    node.IN_FEATURE = "joint_map"
    # Channels of 3x3 convolutions before the head; [] on "joint_map", which has its own.
    node.CONV_DIMS = []
    # Weights of loss_joint_heat and loss_joint_offset.
    node.HEAT_WEIGHT = 1.0
    node.OFFSET_WEIGHT = 0.5
    # Standard deviation of a joint around its integrated place, at least: a share of the person's size.
    node.MIN_DEVIATION = 0.12
    # Cells of less heat do not count; a joint without any near stays where PPI has it.
    node.MIN_HEAT = 0.03
    # The mean heat of people's joints with which their score stays S of Eq. 7; less lowers it. 0: it is S for everyone.
    node.USUAL_HEAT = 0.0


def _add_data_keys(cfg: CN) -> None:
    # Further data sets: a list of [name, JSON file, image folder], in the form of data/datasets/pose_json.py;
    # a fourth entry is how many of the images to take, drawn at random.
    cfg.DATASETS.POSE_FILES = []
    # With SAMPLER_TRAIN "WeightedTrainingSampler" and in mosaics: [name, how often] of training sets; others once.
    cfg.DATASETS.TRAIN_REPEAT_FACTOR = []
    cfg.INPUT.LCRNET = CN()
    # A training box whose part inside the image is less of it than this is ignored: neither learnt nor background.
    cfg.INPUT.LCRNET.MIN_VISIBLE_FRACTION = 0.25
    # Standard deviation, m, at which a coordinate of pseudo 3D (pose_3d_std of the JSON) counts half in the loss:
    # weight 1 / (1 + (std / this)^2). 3D without one counts in full.
    cfg.INPUT.LCRNET.HALF_WEIGHT_STD = 0.1
    # Photometric augmentation: brightness, contrast and saturation are scaled by 1 +- this.
    cfg.INPUT.LCRNET.COLOR_JITTER = 0.0
    # In-plane rotation by up to +- this many degrees; carried to 3D as a roll of the camera.
    cfg.INPUT.LCRNET.ROTATION = 0.0
    # Side, px, of a square that every training picture is scaled, cropped or padded to, instead of MIN_SIZE_TRAIN: it
    # is fitted into the square and scaled by a factor of SCALE_RANGE. 0: MIN_SIZE_TRAIN.
    cfg.INPUT.LCRNET.CANVAS = 0
    cfg.INPUT.LCRNET.SCALE_RANGE = [0.75, 1.75]
    # Instead of SCALE_RANGE: the longer side of a person drawn at random becomes a share of the canvas (or of a
    # mosaic's tile) between these two, and the picture is cropped around that person,
    # or around any place where there is nobody. []: whole pictures.
    cfg.INPUT.LCRNET.PERSON_SIZE = []
    # With PERSON_SIZE: probability that the crop cuts that person as cameras do, at the chest, the hips or the knees,
    # and enlarges what is left until it may exceed the canvas.
    cfg.INPUT.LCRNET.CUT_PEOPLE = 0.0
    # Share of training pictures that are mosaics of four, each fitted into a quarter of the canvas.
    cfg.INPUT.LCRNET.MOSAIC = 0.0
    # Probability of each of blur, noise, recompression, a colour cast and no colour at all.
    cfg.INPUT.LCRNET.DEGRADATION = 0.0


def _add_evaluation_keys(cfg: CN) -> None:
    cfg.TEST.LCRNET = CN()
    # Score thresholds on the test set are those that, on this validation set, find most people with at most
    # this many false positives per image. "" keeps the SCORE_THRESH keys.
    cfg.TEST.LCRNET.THRESHOLD_DATASET = ""
    cfg.TEST.LCRNET.MAX_FALSE_POSITIVES = 0.2
    # Predictions of an evaluation are kept in files below OUTPUT_DIR/inference until it is done, so that one that was
    # stopped goes on. For large test sets: the files are of one state of the weights, which are all hashed.
    cfg.TEST.LCRNET.PREDICTION_CACHE = False
    # People with fewer joints seen (v = 2) are ignored; 0 for sets that do not say which are, as Human3.6M.
    cfg.TEST.LCRNET.MIN_JOINTS_SEEN = 4
    # Benchmarks to run beside: a list of [data set, protocol], protocols as of tools/evaluate_predictions.py.
    cfg.TEST.LCRNET.PROTOCOLS = []
    # 3D that follows the 2D joints: a lifter's file (datasets/train_lifter.py), or "lifter_cmu" of the package; its 3D
    # and the network's own, taken to be off by OWN_3D_STD m, are averaged by 1 / std^2. "": the network's own alone.
    cfg.TEST.LCRNET.LIFTER = ""
    cfg.TEST.LCRNET.OWN_3D_STD = 0.15
    # MuPoTS-3D's folder (TS1/annot.mat and pictures), or MuPoTS-3D.json beside them: makes the data set "mupots", for
    # the protocol "mupots".
    cfg.TEST.LCRNET.MUPOTS = ""
