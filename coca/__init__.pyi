from typing import Any

from coca.api import make_initial_conditions as make_initial_conditions
from coca.api import simulate as simulate
from coca.configuration.loading import load_config as load_config
from coca.configuration.loading import make_config as make_config
from coca.configuration.run import Config as Config
from coca.emulator.user_emulator import OwnEmulator as OwnEmulator
from coca.errors import CocaError as CocaError
from coca.errors import CocaWarning as CocaWarning
from coca.errors import ConfigError as ConfigError
from coca.errors import FileError as FileError
from coca.results.result import Output as Output
from coca.results.result import Result as Result

kernels: Any
__version__: str
