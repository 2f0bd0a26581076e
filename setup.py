"""Packaging of coca; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (root / "coca" / "__init__.py").read_text())[1]
documentation = [
    "furo",
    "ipykernel",
    "myst-nb>=1.2",
    "myst-parser>=4",
    "sphinx-mathjax-offline",  # pages fetch nothing
    "sphinx>=8",
]

setup(
    name="coca-nbody",
    version=version,
    description="Cosmological N-body simulations in the frame of reference of an emulator",
    long_description=(root / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    python_requires=">=3.10",
    packages=[*find_packages(include=["coca", "coca.*"]), "coca.kernels"],
    package_dir={"coca.kernels": "kernels"},
    package_data={
        "coca": ["py.typed", "*.pyi", "tables/*.safetensors"],
        "coca.results": ["templates/*"],
        "coca.emulator": ["weights/*.safetensors"],
    },
    install_requires=[
        "h5py>=3.8",
        "jinja2>=3.1",
        "matplotlib>=3.7",
        "numba>=0.60",
        "numpy>=2",
        "pillow>=9",
        "psutil>=5.9",
        "pydantic>=2.5,<3",
        "pyfftw>=0.14",
        "pyyaml>=6",
        "safetensors>=0.4",
        "scipy>=1.15",
        "torch>=2.5,<2.14",
        "tqdm>=4.60",
    ],
    entry_points={"console_scripts": ["coca = coca.__main__:main"]},
    extras_require={
        "analysis": ["colossus>=1.3"],
        "camb": ["camb>=1.5"],
        "inference": ["corner", "healpy>=1.16", "lsbi>=0.12", "sbi>=0.27", "scikit-learn>=1.4"],
        "mpi": ["mpi4py>=4", "mpich>=4.2"],
        "sky": ["camb>=1.5", "healpy>=1.16"],
        "test": [
            "abacusutils",
            "colossus",
            "healpy",
            "hypothesis",
            "import-linter",
            "kernels",  # Hugging Face's, beside which ours must stand
            "mypy",
            "pynbody",
            "pytest",
            "pytest-cov",
            "pytest-xdist",
            "ruff",
            "yt",
            *documentation,
        ],
        "docs": documentation,
        "peers": ["pysco-nbody"],
        # euclidemu2 builds with the GNU Scientific Library
        "theory": ["euclidemu2", "glass>=2025", "pyccl>=3"],
    },
)
