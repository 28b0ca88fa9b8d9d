"""A smaller target for Numba: it compiles only functions of numbers, pointers and vectors.

Numba's own target takes twice as long, because it imports Numba's implementations of NumPy and of containers, links a
runtime that counts references, runs passes for closures and arrays, optimizes each function twice, and makes machine
code even of functions that only other compiled functions call. The smaller target does none of this.
"""

# mypy: allow-untyped-calls

import contextlib
import functools
import importlib
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, compiler, cpu, event, fastmathpass, typed_passes, untyped_passes
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.typing import Context  # type: ignore[attr-defined]
from numba.core.typing.templates import AbstractTemplate, Registry, _OverloadAttributeTemplate, builtin_registry
from numba.np.numpy_support import from_dtype

from softmax_impls.simd.jit import APART, DISABLE_JIT
from softmax_impls.simd.lowering import BYTES, INT64
from softmax_impls.simd.objects import STAMP, Code
from softmax_impls.simd.operators import OPERATIONS

_numba: Any = compiler


class Compiler(compiler.CompilerBase):
    """Numba's compiler with fewer passes: it compiles only functions of numbers, pointers and vectors.

    Such functions need, for example, no passes for closures and NumPy arrays.
    """

    def define_pipelines(self) -> list[Any]:
        """Return a list of one pass manager, with the passes that the target of this module needs."""
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
    """The LLVM module of a compiled function.

    The module is optimized once, after the functions that it calls are linked to it. Numba does not load its machine
    code: `objects` does.
    """

    def finalize(self) -> None:
        """Link the called functions, and optimize the linked code once more.

        Without this second optimization, some kernels took 1.05 times as long.
        """
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        if hasattr(self._codegen, "_mpm_full"):  # Numba 0.60 and 0.61
            self._codegen._mpm_full.run(self._final_module)
        else:
            passes, builder = self._codegen._module_pass_manager()
            passes.run(self._final_module, builder)
        self._finalized = True

    def object(self) -> bytes:
        """Return the machine code of the module, as the contents of an object file."""
        self._ensure_finalized()
        return bytes(self._codegen._tm.emit_object(self._final_module))


class _Typing(Context):
    def init(self) -> None:
        numba: Any = Registry()  # without the attributes that load all of Numba
        numba.functions, numba.globals = builtin_registry.functions, builtin_registry.globals
        numba.attributes = [a for a in builtin_registry.attributes if not issubclass(a, _OverloadAttributeTemplate)]
        operations: Any = Registry()  # they take precedence over Numba's own functions
        for function in OPERATIONS:
            operations.register_global(function, _function_type(function))
        self.registries = operations, numba

    def refresh(self) -> None:
        for registry in self.registries:
            self.install_registry(registry)

    def _get_global_type(self, value: Any) -> Any:
        """Return the type of a global. A global function is an operation, or is compiled as a part of its callers."""
        return _function_type(value) if isinstance(value, FunctionType) else super()._get_global_type(value)


class _Context(cpu.CPUContext):
    def load_additional_registries(self) -> None:
        for module in ("builtins", "numbers", "rangeobj", "tupleobj"):
            importlib.import_module(f"numba.cpython.{module}")

    def post_lowering(self, module: Any, library: Any) -> None:
        if self.fastmath:
            fastmathpass.rewrite_module(module, self.fastmath)

    def create_cpython_wrapper(self, library: Any, described: Any, *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Emit the C function by which Python calls an `arrays.Entry`.

        Its calling convention is METH_FASTCALL. A call of Numba's own wrapper would take 0.1 µs longer.
        """
        module = self.create_module("wrapper")
        kind = self.call_conv.get_function_type(described.restype, described.argtypes)
        function = ir.Function(module, kind, described.llvm_func_name)
        objects = INT64.as_pointer().as_pointer()
        kind = ir.FunctionType(BYTES, [BYTES, objects, INT64])  # the module, the arguments, their number
        wrapper = ir.Function(module, kind, described.llvm_cpython_wrapper_name)
        builder = ir.IRBuilder(wrapper.append_basic_block())

        def python(name: str, result: Any, *arguments: Any) -> Any:
            kind = ir.FunctionType(result, [argument.type for argument in arguments])
            return builder.call(cgutils.get_or_insert_function(module, kind, name), arguments)

        values = []
        for number, argument in enumerate(described.argtypes):
            value = builder.load(builder.gep(wrapper.args[1], [INT64(number)]))
            values.append(python("PyLong_AsLongLong", INT64, value) if argument == types.int64 else value)
        _, result = self.call_conv.call_function(builder, function, described.restype, described.argtypes, values)
        builder.ret(python("PyLong_FromLongLong", BYTES, result))
        library.add_ir_module(module)


class _Cache(FunctionCache):
    def save_overload(self, *arguments: Any) -> None:
        with contextlib.suppress(OSError):  # the disk is full
            super().save_overload(*arguments)


def jit(**options: Any) -> Callable[[Any], Any]:
    """Return the decorator `numba.njit` with these options; it keeps machine code in files if a folder is writable."""

    def decorate(function: Any) -> Any:
        dispatcher: Any = njit(**{"no_cfunc_wrapper": True, **options})(function)
        if not DISABLE_JIT:
            with contextlib.suppress(RuntimeError, OSError):  # there is no folder for the cache
                dispatcher._cache = cache = _Cache(function)
                if hasattr(cache, "_cache_file"):  # Numba checks only the file that defines the function
                    cache._cache_file._source_stamp = (cache._cache_file._source_stamp, STAMP)
        return dispatcher

    return decorate


def compile_function(function: Any, dtype: Any, options: dict[str, Any]) -> Code:
    """Compile a function, and return its machine code.

    With a dtype, the function is the function of a `jit.Task`. If the dtype is None, it is the function of an
    `arrays.Entry`. `options` are options of Numba's compiler.
    """
    pointer: Any = types.CPointer
    words, elements = pointer(types.int64), pointer(from_dtype(dtype or np.dtype(np.int64)))
    arguments: tuple[Any, ...] = words, elements, elements, elements, types.int64, types.int64
    if dtype is None:
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        arguments = tuple(types.int64 if function.__annotations__[name] is int else words for name in names)
    with global_compiler_lock, event.trigger_event("numba:compile", {"dispatcher": SimpleNamespace(py_func=function)}):
        result = _run(function, arguments, types.int64, {**options, "no_cpython_wrapper": dtype is not None})
        described = result.fndesc
        name = described.llvm_cpython_wrapper_name if dtype is None else described.llvm_func_name
        return name, result.library.object()


def _run(function: Any, arguments: Any, returned: Any, options: dict[str, Any]) -> Any:
    """Compile a function for these types of arguments, and return the result of Numba's compiler.

    `returned` is the type of the function's result; if it is None, Numba infers the type.

    Numba does not make the machine code executable: the callers of the function link it, or `objects.load` loads it.
    """
    flags = _numba.Flags()
    defaults = {"nopython": True, "error_model": "numpy", "no_cpython_wrapper": True}
    cpu.CPUTargetOptions.parse_as_flags(flags, {**defaults, **options})
    flags.nrt, flags.no_cfunc_wrapper, flags.no_compile = False, True, True
    library: Any = Library(CONTEXT.codegen(), function.__name__)
    return _numba.compile_extra(TYPING, CONTEXT, function, arguments, returned, flags, {}, library, Compiler)


def _typed(function: Any) -> Any:
    """Return a function that takes the types of arguments, and compiles `function` for these types.

    It returns the signature of `function`, and a function that emits a call.
    """

    @functools.cache
    def typed(*arguments: Any) -> Any:
        result = _run(function, arguments, None, {"forceinline": function not in APART})

        def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
            context.active_code_library.add_linking_library(result.library)
            return context.call_internal(builder, result.fndesc, result.signature, values)

        return result.signature, emit

    return typed


@functools.cache
def _function_type(function: Any) -> Any:
    """Return Numba's type of a function: of an operation, or of a function that is compiled into its callers.

    Numba's own decorator `intrinsic` is not used: whenever a call of an intrinsic is compiled, it loads all of Numba.
    """
    typed, emitters = OPERATIONS.get(function) or _typed(function), dict[Any, Any]()

    class Template(AbstractTemplate):
        key = function

        def generic(self, arguments: Any, _: Any) -> Any:
            signature, emit = typed(*arguments)
            if signature:
                emit = emitters.setdefault(signature.args, emit)
                CONTEXT.insert_func_defn([(emit, emit, signature.args)])
            return signature

        def get_impl_key(self, signature: Any) -> Any:
            return emitters[signature.args]

    return types.Function(Template)


TYPING = _Typing()
CONTEXT = _Context(TYPING, "cpu")
