/* SPDX-License-Identifier: MIT */
/* dlopen of the CUDA module and the check of what it says it is. */
#include "encoder/backend/module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MODULE_FILE "liblode_cuda.so"

enum { PATH_BYTES = 4096 };

/* "<folder of the program>/<tail>" if it can be read */
static bool beside_program(const char *tail, char out[PATH_BYTES])
{
    char program[PATH_BYTES];
    const ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    if (len <= 0) return false;
    program[len] = 0;
    char *slash = strrchr(program, '/');
    if (!slash) return false;
    *slash = 0;
    const int n = snprintf(out, PATH_BYTES, "%s/%s", program, tail);
    return n > 0 && n < PATH_BYTES && access(out, R_OK) == 0;
}

static const char *locate(char found[PATH_BYTES])
{
    if (beside_program(MODULE_FILE, found)) return found;
    if (beside_program("../lib/lode/" MODULE_FILE, found)) return found;
    return MODULE_FILE;
}

enum lode_code lode_module_open(const char *path, const struct lode_cuda_module **out,
                                struct lode_err *err)
{
    char found[PATH_BYTES];
    const struct lode_cuda_module *(*get)(void) = NULL;
    if (!path || !path[0]) path = locate(found);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return lode_fail(err, LODE_EDEVICE, "no CUDA module: %s", dlerror());
    void *symbol = dlsym(handle, LODE_CUDA_MODULE_SYMBOL);
    memcpy(&get, &symbol, sizeof get); /* ISO C has no cast from data to function pointers */
    if (!get) {
        dlclose(handle);
        return lode_fail(err, LODE_EVERSION, "%s is no CUDA module of lode", path);
    }
    const struct lode_cuda_module *module = get();
    if (module->abi != LODE_CUDA_MODULE_ABI)
        return lode_fail(err, LODE_EVERSION,
                         "%s was built for another version of lode (module %u, wanted %d)", path,
                         module->abi, LODE_CUDA_MODULE_ABI);
    *out = module;
    return LODE_OK;
}
