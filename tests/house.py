"""What the house consists of."""

from tests import ROOT


def modules() -> list[str]:
    """Names of all modules of coca, with its kernels, but for those that only say what a package
    is."""
    files = [*(ROOT / "coca").rglob("*.py"), *(ROOT / "kernels").glob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    names = [f"coca.{name}" if name.startswith("kernels.") else name for name in names]
    return sorted(name for name in names if not name.endswith(".__init__"))
