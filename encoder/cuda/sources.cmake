# The sources of liblode_cuda.so, for the module and for the fake device of tests/gpu. A new file goes into one of the
# two lists.
set(host_sources
    cuda_backend.c cuda_error.c graphs.c matmul.c module.c ops.c pack.c peak.c scan.c scan_table.c slot.c weights.c
    ../dtype.c ../backend/names.c)
set(kernel_sources
    activate.cu add_norm.cu attention_mma.cu attention_plain.cu embed.cu pool.cu scan.cu)
