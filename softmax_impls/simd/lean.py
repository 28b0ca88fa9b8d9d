"""A compilation target of Numba for functions of numbers, pointers and vectors. It halves the time of compilation.

Numba's own target imports Numba's implementations of NumPy and of containers, links a runtime that counts references,
runs passes for closures and arrays, optimizes each function twice, and makes machine code of functions that are only
parts of others. `LEAN` does none of this.
"""

# mypy: allow-untyped-calls

import functools
import importlib
from typing import Any

from numba.core import cpu, fastmathpass, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.typing import Context  # type: ignore[attr-defined]
from numba.core.typing.templates import Registry, _OverloadAttributeTemplate, builtin_registry

REGISTRY: Any = Registry()  # functions that take precedence over Numba's own


class Compiler(CompilerBase):
    """The passes that these functions need."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        before, after = untyped_passes, typed_passes
        manager: Any = PassManager("lean")
        for step in (
            before.TranslateByteCode, before.FixupArgs, before.IRProcessing, before.GenericRewrites,
            before.ReconstructSSA, after.NopythonTypeInference, after.PreLowerStripPhis, after.NativeLowering,
            after.NoPythonBackend,
        ):  # fmt: skip
            manager.add_pass(step, step.__name__)
        manager.finalize()
        return [manager]


class Library(JITCodeLibrary):
    """Code that is optimized once, after its parts are linked."""

    def _optimize_final_module(self) -> None:
        if hasattr(self._codegen, "_mpm_full"):  # Numba 0.60 and 0.61
            self._codegen._mpm_full.run(self._final_module)
        else:
            passes, builder = self._codegen._module_pass_manager()
            passes.run(self._final_module, builder)


class Part(Library):
    """Code that becomes a part of the functions that call it: it is not made executable."""

    def finalize(self) -> None:
        """Link the called functions, and optimize. Without this, some kernels took 1.05 times as long."""
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._optimize_final_module()
        self._finalized = True


class _Typing(Context):
    def init(self) -> None:
        numba: Any = Registry()  # without the attributes that load all of Numba
        numba.functions, numba.globals = builtin_registry.functions, builtin_registry.globals
        numba.attributes = [a for a in builtin_registry.attributes if not issubclass(a, _OverloadAttributeTemplate)]
        self.registries = REGISTRY, numba

    def refresh(self) -> None:
        for registry in self.registries:
            self.install_registry(registry)


class _Context(cpu.CPUContext):
    def init(self) -> None:
        super().init()
        self.codegen()._library_class = Library

    def load_additional_registries(self) -> None:
        for module in ("builtins", "numbers", "rangeobj", "tupleobj"):
            importlib.import_module(f"numba.cpython.{module}")

    def post_lowering(self, module: Any, library: Any) -> None:
        if self.fastmath:
            fastmathpass.rewrite_module(module, self.fastmath)


class Lean:
    """The two contexts of the target. Each is created when it is first needed."""

    options, compiler = cpu.CPUTargetOptions, Compiler

    @functools.cached_property
    def typing_context(self) -> Any:
        """The types of functions."""
        return _Typing()

    @functools.cached_property
    def target_context(self) -> Any:
        """The code of functions."""
        return _Context(self.typing_context, "cpu")


LEAN = Lean()
