"""Machine code of a function, compiled once and kept on disk.

Numba's own cache drops a function when its file changes, but not when a function it calls does, nor when a global it
reads differs. Here the name of a cached file is a digest of everything that shapes its code: the text of every file of
this package and of the function's own folder, the number of lanes, the processor, the versions of Numba and Python.
"""

import functools
import hashlib
import importlib
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, compiler, serialize, types
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.typing import Signature

OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "nogil": True, "_nrt": False}
"""Of every function here. Without Numba's runtime (_nrt) a function that would allocate an array does not compile."""


def _lanes() -> int:
    features = llvm.get_host_cpu_features()
    text = os.environ.get("BACKDERIVE_LANES", "")
    if not text:
        return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
    if text not in ("4", "8", "16"):
        raise ValueError(f"BACKDERIVE_LANES must be 4, 8 or 16, not {text!r}")
    return int(text)


LINE = 64  # bytes of a cache line
LANES = _lanes()
"""float32 values in a vector of the host's; BACKDERIVE_LANES overrides it (LLVM splits vectors that are too wide)."""
REGISTERS = 32 if LANES == 16 or platform.machine().lower() in ("aarch64", "arm64") else 16
"""Vectors that the processor holds."""


def _first_level_cache() -> int:
    with suppress(OSError, ValueError):
        return int(Path("/sys/devices/system/cpu/cpu0/cache/index0/size").read_text().strip().removesuffix("K")) << 10
    return 0  # not known here


CACHE = _first_level_cache()
"""Bytes of the first-level cache; 0 where the system does not say."""


def _load_openmp(spins: int = 200) -> None:
    """Loads GNU OpenMP such that a thread without work soon goes to sleep.

    By default it spins for milliseconds, which wins little on an idle machine and on a busy one costs a time slice in
    each parallel region. The library reads its settings when it is loaded; those that the user has made stand.
    """
    if sys.platform != "linux" or {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        return
    os.environ["GOMP_SPINCOUNT"] = str(spins)
    with suppress(ImportError):
        importlib.import_module("numba.np.ufunc.omppool")
    del os.environ["GOMP_SPINCOUNT"]


_load_openmp()


def cache_folder() -> Path | None:
    """The folder compiled code is kept in, or None where no folder of the user's own can be written.

    NUMBA_CACHE_DIR/backderive if that variable is set, else the platform's cache folder, else the temporary one.
    """
    home = Path.home()
    if os.environ.get("NUMBA_CACHE_DIR"):
        usual = Path(os.environ["NUMBA_CACHE_DIR"])
    elif sys.platform == "win32":
        usual = Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local")
    elif sys.platform == "darwin":
        usual = home / "Library/Caches"
    else:
        usual = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    user = os.getuid() if hasattr(os, "getuid") else None
    for folder in (usual / "backderive", Path(tempfile.gettempdir()) / f"backderive-{user}"):
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What lies there is loaded as code: never from a folder that belongs to somebody else.
            if os.access(folder, os.W_OK) and user in (None, folder.stat().st_uid):
                return folder
    return None


@functools.cache
def digest_of(folder: Path, pattern: str = "*.py") -> str:
    """A digest of the Python files of `folder` ("**/*.py": and of the folders in it): their paths and their bytes."""
    seen = hashlib.sha256()
    for path in sorted(folder.glob(pattern)):
        seen.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return seen.hexdigest()


PACKAGE = digest_of(Path(__file__).resolve().parent, "**/*.py")


class DiskCache:
    """One file a function, found by the digest of `key` and of all that shapes any code here; written atomically."""

    def __init__(self, key: tuple):
        codegen = cpu_target.target_context.codegen()
        versions = (platform.python_version(), numba.__version__, llvm.llvm_version_info)
        shape = repr((key, PACKAGE, LANES, CACHE, codegen.magic_tuple(), versions))
        folder = cache_folder()
        self.path = folder and folder / f"{hashlib.sha256(shape.encode()).hexdigest()[:40]}.code"

    def load_overload(self, signature, context):
        """Numba's interface: the compiled function, or None."""
        if self.path is None or not self.path.is_file():
            return None
        # A file that cannot be read back, for whatever reason, is as good as none.
        with suppress(Exception):
            return compiler.CompileResult._rebuild(context, *pickle.loads(self.path.read_bytes()))
        return None

    def save_overload(self, signature, result) -> None:
        """Numba's interface: keep the compiled function. A full disk costs no more than a later compilation."""
        if self.path is None:
            return
        with suppress(OSError):
            handle, name = tempfile.mkstemp(dir=self.path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(serialize.dumps(result._reduce()))
                os.replace(name, self.path)
            except BaseException:
                os.unlink(name)
                raise


def compile_native(function: Callable, signature: Signature, key: tuple | None = (), parallel: bool = False) -> CFunc:
    """The C function that `function` compiles to, from disk where it has been compiled before.

    `key` holds what shapes the code beside the text of this package: whatever the function's closure or globals hold;
    None where that cannot be said, and so nothing be kept. The result's `.address` is the machine code's; it is valid
    as long as the result is referenced.
    """
    native = CFunc(function, (signature.args, signature.return_type), {}, {**OPTIONS, "parallel": parallel})
    if key is not None:
        native._cache = DiskCache(  # type: ignore[attr-defined]
            (function.__module__, function.__qualname__, str(signature), parallel, *key)
        )
    rtsys.initialize(cpu_target.target_context)  # machine code from the disk may link to it
    native.compile()
    return native


class Linked:
    """A routine that kernels call by symbol: compiled once for each dtype, not into every kernel.

    define: gives the function for float32 or float64, and its signature without a result.
    """

    def __init__(self, name: str, define: Callable[[types.Type], tuple[Callable, Signature]]):
        self.name, self._define = name, define
        self._loaded: dict[types.Type, CFunc] = {}

    def load(self, dtype: types.Type) -> None:
        """Makes the routine known to kernels, which may come from the disk."""
        if dtype not in self._loaded:
            native = compile_native(*self._define(dtype), (dtype.name,))
            llvm.add_symbol(self._symbol(dtype), native.address)
            self._loaded[dtype] = native

    def call(self, builder: ir.IRBuilder, dtype: types.Type, passed: list[ir.Value]) -> None:
        """Writes a call of the routine, which must be loaded."""
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, self._symbol(dtype)), passed)

    def _symbol(self, dtype: types.Type) -> str:
        return f"backderive_{self.name}_{dtype.name}_{LANES}_{PACKAGE[:16]}"
