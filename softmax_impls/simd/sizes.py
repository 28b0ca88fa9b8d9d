"""The tunable numbers of numba_simd: each with its unit, its reason, and the effect that was measured.

They are module constants, because Numba compiles them into the kernels. A vector has 64 bytes: 16 float32 or 8 float64.
"Bytes moved" are 3·B·D·itemsize: two arrays are read, a third is written.
"""

import contextlib
from pathlib import Path

UNFIT, DONE, LARGE = range(3)  # results of the kernel for small calls: invalid arrays, computed, too large for it


def _last_level_cache() -> int:
    """Return the size of the last-level cache in bytes; 32 MiB where the system does not state it."""
    files = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    with contextlib.suppress(OSError, ValueError):
        return max(int(file.read_text().strip().removesuffix("K")) * 1024 for file in files)
    return 1 << 25


# Bytes moved by a call. Larger calls are shared among threads: two are faster, even if the helper has to wake up first.
SHARED_FROM = 400_000
# Bytes moved by a call. Larger calls use non-temporal stores. At 3/4 of the cache, such a call took 1.1 to 1.3
# times as long on two threads and as long on one; a little beyond the cache, 0.8 to 0.9 times (2048×1024 to 6144×512).
NONTEMPORAL_FROM = _last_level_cache()

# Vectors per row. Longer rows are pipelined. Shorter rows take 0.7 to 0.9 of that time one after the other.
PIPELINED_ABOVE = 8
# Vectors per row. From this length on, stores are aligned to cache lines: up to 1.2 times faster.
ALIGNED_FROM = 16
# Vectors per row. Shorter rows are written two steps after they are reduced, longer rows one step.
# With two steps, 256×256 float32 took 0.9 of the time, 6144×512 1.1.
LAG_TWO_BELOW = 32

# Elements of g that are tested for large numbers before they are overwritten. The cache of a core holds them.
IN_PLACE_BLOCK = 4096

# Terms that a lane adds in the arrays' dtype, before the sum goes on in float64.
TERMS_PER_LANE = 32
# g is shifted where |g at the largest p| is larger than this times |Σ p g - g at the largest p|. Elsewhere a shift
# hardly makes the sum more accurate. At most 2: the error stays within the bound of `checks.bounds`.
MAX_UNSHIFTED_RATIO = 2.0

# Times that an idle helper polls for the next call before it sleeps: 20 to 100 µs. Polling, it starts within 1 µs.
IDLE_POLLS = 2000
# Chunks of work per thread. More than one, so that the caller waits only shortly for the last chunk.
CHUNKS_PER_THREAD = 2
# Rows per chunk. In a chunk of fewer rows, most rows are not pipelined.
MIN_CHUNK_ROWS = 8
# Bytes moved per chunk. A smaller chunk takes less time than the threads need to share it out.
MIN_CHUNK_BYTES = 32_768
