"""The network: importing this registers its parts with Detectron2."""

from .inverted_residuals import InvertedResiduals
from .joint_heat_maps import JointHead
from .lcr_outputs import LCROutputLayers, PoseProposals, select_pose_proposals
from .meta_arch import LCRNet
from .pose_regression import PoseTransform
from .ppi import PAPER_RULES, PosesInImage, Rules, integrate_pose_proposals, suppress_pose_proposals
from .prepared import prepared_for_inference
from .roi_heads import LCRNetROIHeads
from .rpn import LCRNetRPN
from .test_time_augmentation import LCRNetWithTTA, with_test_time_augmentation
from .vgg import VGG16, VGGBoxHead

__all__ = [
    "PAPER_RULES",
    "VGG16",
    "InvertedResiduals",
    "JointHead",
    "LCRNet",
    "LCRNetROIHeads",
    "LCRNetRPN",
    "LCRNetWithTTA",
    "LCROutputLayers",
    "PoseProposals",
    "PoseTransform",
    "PosesInImage",
    "Rules",
    "VGGBoxHead",
    "integrate_pose_proposals",
    "prepared_for_inference",
    "select_pose_proposals",
    "suppress_pose_proposals",
    "with_test_time_augmentation",
]
