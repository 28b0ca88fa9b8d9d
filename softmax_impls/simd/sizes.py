"""The tunable numbers of numba_simd: each with its unit, its reason, and the effect that was measured.

They are module constants, because Numba compiles them into the kernels. A vector has 64 bytes: 16 float32 or 8 float64.
"Bytes moved" are 3·B·D·itemsize: two arrays are read, a third is written.
"""

import contextlib
from pathlib import Path

VECTOR_BYTES = 64  # a cache line; a register of AVX-512, two of AVX2, four of SSE or NEON
UNFIT, DONE, LARGE = range(3)  # results of `pool.enter`: arrays that do not fit, computed, not computed


def _caches() -> list[int]:
    """Return the sizes of the caches in bytes, ascending; 1 and 32 MiB where the system does not state them."""
    files = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    with contextlib.suppress(OSError, ValueError):
        if sizes := sorted(int(file.read_text().strip().removesuffix("K")) * 1024 for file in files):
            return [0, *sizes]
    return [1 << 20, 1 << 25]


OWN_CACHE, LAST_LEVEL_CACHE = _caches()[-2:]  # bytes: of a processor's own largest cache, and of the largest cache
# Whether many processors share the last-level cache, so that it is slow, as on Emerald Rapids. This is judged by sizes.
_FAR = LAST_LEVEL_CACHE > 1 << 25 and OWN_CACHE >= 1 << 20
# Bytes moved by a call. Larger calls are shared among threads. On Zen 3, calls of 0.46 to 0.77 MB in two threads took
# 0.6 of the time of one thread in a loop. After a pause, when the helper has to wake up first, they took 1.1 to 1.2 of
# the time of one thread. With a limit of 250 kB in place of 400 kB, calls of 300 kB took 0.85 of the time in a loop,
# and 1.05 in one thread or after a pause.
SHARED_FROM = 400_000
# Bytes moved per thread, if a call has more than two threads. On 16 processors (Emerald Rapids), a call that the caller
# repeats was faster with more threads. But to wake a helper after a pause takes 8 µs: with 16 threads, calls of 0.8 to
# 1.6 MB then took 1.3 to 2.2 times as long as in one thread.
BYTES_PER_THREAD = 250_000
# Bytes moved by a call. Larger calls on rows use non-temporal stores. On Zen 3, whose cache other programs use, too,
# calls of 12 to 25 MB (512×1024 to 1500×1000) took 0.7 to 0.85 of the time with plain stores, and calls of 7 to 10 MB
# took 0.8 to 1.1 of it. On Emerald Rapids (2 MiB per processor, 300 MiB shared), calls of 2 to 36 MB took 0.64 to 0.86
# of the time with plain stores, and calls of 0.8 to 1.5 MB took 1.1 of it.
NONTEMPORAL_FROM = OWN_CACHE if _FAR else min(LAST_LEVEL_CACHE, 1 << 25) // 3
# For calls in n threads, the limit is (n + 1) / 2 times NONTEMPORAL_FROM, with at most this number as n. On Zen 3,
# with plain stores, calls that move 12.6 MB in two threads (rows of 256 to 65536 float32) took 0.91 to 0.97 of the time
# with non-temporal stores. On Emerald Rapids, non-temporal stores began to win at 3.1 to 4.2 MB in two threads, and at
# 4.2 to 5.5 MB in four.
NONTEMPORAL_THREADS = 16 if _FAR else 2
# The same limit for columns, in any number of threads. Smaller calls whose outer indices are small need no buffer. On
# Zen 1 (8 MiB), calls of 3 to 5 MB took 0.4 to 0.7 of the time with a buffer, and calls of 10 MB took 1.3 of it. But on
# Zen 3 (32 MiB), calls of 19 MB took 1.25 of it.
NONTEMPORAL_COLUMNS = min(LAST_LEVEL_CACHE, 1 << 25) * 2 // 5
# Number of vectors by which calls with non-temporal stores prefetch p and g ahead. On Zen 3, calls were 1.05 to 1.15
# times as fast as without prefetching; with 32 vectors, 1.0 to 1.1 times. In C on Zen 5, 32 to 64 vectors were best.
PREFETCHED = 16

# Vectors per row. Longer rows are pipelined. Shorter rows, computed one after the other, take 0.7 to 0.95 of the time
# that they take in a pipeline. Rows of 16 vectors, one after the other, took as long as in a pipeline if they were
# ordinary, and 1.03 times as long if they were saturated.
PIPELINED_ABOVE = 12

# Elements of a block of results that careful_rows keeps on the stack. The first-level cache holds them.
BLOCK_ELEMENTS = 1024

# Bytes of p and g in a block of columns. The second-level cache of a core holds them.
BLOCK_BYTES = 192 * 1024
# Largest number of vectors per block of columns: 3.5 KiB of each row. On Zen 1, 8×21×65536 and 200×5×90000 took 0.93 to
# 0.95 of the time with 64 vectors. On Zen 3, 32 vectors took 1.1 times as long as 64.
MAX_BLOCK_VECTORS = 56
# Smallest number of vectors per block of columns, unless the block then has more than LARGE_BLOCK_BYTES. Where classes
# are many, only the last-level cache holds such a block. On Zen 3, 1000×4096 and 400×20480 took 0.7 to 0.8 of the time
# with 3 to 6 vectors. With more bytes than LARGE_BLOCK_BYTES, as at 8000×1024, 3 vectors took 0.7 of the time of 6.
MIN_BLOCK_VECTORS = 16
LARGE_BLOCK_BYTES = LAST_LEVEL_CACHE // 8
# Bytes of an outer index of one array. An outer index of at most this size is computed without a buffer, in 0.5 to 0.7
# of the time with a buffer.
DIRECT_BYTES = 16 * 1024

# Number of terms that a lane adds in the arrays' dtype. Then their sum is added to a total that is more accurate.
TERMS_PER_LANE = 32
# The same for the backward pass of columns, where each lane holds a column; in short columns, a lane adds up to twice
# as many terms. With 32 terms, errors were up to 5.5 units of rounding.
TERMS_OF_COLUMN = 8
# Number of vectors at the beginning of a long row in which g at the largest p is kept with the largest p. In later
# blocks, it is searched for only if a block has a larger p than all blocks before. On Zen 1, 1×65536 took 0.85 of the
# time, 16×4096 took 0.96; without such a beginning, 300×768 float64 took 1.1 times as long.
SEARCHED_AFTER = 64
# g is shifted where |g at the largest p| is larger than this times |Σ p g - g at the largest p|. Elsewhere a shift
# hardly makes the sum more accurate. If this is at most 2, the error stays within the bound of `checks.bounds`.
MAX_UNSHIFTED_RATIO = 2.0

# Times that an idle helper polls for the next call before it sleeps: 20 to 100 µs. A polling helper starts within 1 µs.
IDLE_POLLS = 2000
# Polls after which an idle helper lets other threads run. Where another library's thread spins on the second processor,
# helper and caller share the first: without this, 512×1000 float32 took 1.6 times as long as on one thread. With 32
# polls, helpers noticed calls later: 256×1000 float32 took 1.05 to 1.2 times as long.
POLLS_PER_YIELD = 256
# Chunks of work per thread. More than one, so that the caller waits only shortly for the last chunk.
CHUNKS_PER_THREAD = 2
# Smallest number of rows per chunk, if rows are many. In a chunk of fewer rows, most rows are not pipelined.
MIN_CHUNK_ROWS = 8
# Smallest number of bytes moved per chunk. A smaller chunk takes less time than the threads need to share it out.
MIN_CHUNK_BYTES = 32_768
# Few long rows: the threads compute each row together only if this takes less time than sharing out whole rows. It
# costs as much time per row as to move this many bytes, because the threads wait for each other. With 16 threads,
# 16×8192 float32 took 110 µs with all rows together, and 20 µs in whole rows (Emerald Rapids).
TOGETHER_BYTES = 131_072
