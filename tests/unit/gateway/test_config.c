/* SPDX-License-Identifier: MIT */
/* Settings: defaults, environment, flags, their bounds, and where the model is looked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/config.h"

static int clean_environment(void **state)
{
    const char *key, *env, *help;
    (void)state;
    for (size_t i = 0; lode_config_key(i, &key, &env, &help); i++) {
        assert_true(strncmp(env, "LODE_", 5) == 0);
        assert_true(help[0] != '\0');
        unsetenv(env);
    }
    setenv("HOME", "/nonexistent/home", 1);
    return 0;
}

static struct lode_config loaded(void)
{
    struct lode_config c;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_config_load(&c, &err)) fail_msg("%s", err.msg);
    return c;
}

static void defaults_are_local_and_below_home(void **state)
{
    const struct lode_config c = loaded();
    (void)state;
    assert_string_equal(c.data, "/nonexistent/home/.local/share/lode");
    assert_string_equal(c.collection, "default");
    assert_string_equal(c.host, "127.0.0.1");
    assert_int_equal(c.port, 8080);
    assert_string_equal(c.model, "");
    assert_string_equal(c.url, "");
}

static void the_environment_overrides_defaults_and_flags_override_both(void **state)
{
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    setenv("LODE_PORT", "81", 1);
    setenv("LODE_DATA", "/srv/lode", 1);
    struct lode_config c = loaded();
    assert_int_equal(c.port, 81);
    assert_string_equal(c.data, "/srv/lode");
    assert_int_equal(lode_config_set(&c, "port", "82", "--port", &err), LODE_OK);
    assert_int_equal(c.port, 82);
}

static void wrong_values_name_where_they_came_from(void **state)
{
    struct lode_config c;
    struct lode_err err = LODE_ERR_INIT;
    char long_text[PATH_MAX + 8];
    (void)state;
    setenv("LODE_PORT", "65536", 1);
    assert_int_equal(lode_config_load(&c, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "LODE_PORT"));
    assert_non_null(strstr(err.msg, "65535"));
    unsetenv("LODE_PORT");
    c = loaded();
    assert_int_equal(lode_config_set(&c, "log", "loud", "--log", &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "--log"));
    assert_int_equal(lode_config_set(&c, "dtype", "fp16", "--dtype", &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "--dtype"));
    assert_non_null(strstr(err.msg, "auto f32 bf16 f16 int8 fp8"));
    assert_string_equal(c.dtype, "auto");
    assert_int_equal(lode_config_set(&c, "dtype", "int8", "--dtype", &err), LODE_OK);
    assert_int_equal(lode_config_set(&c, "threads", "-1", "--threads", &err), LODE_EINVAL);
    assert_int_equal(lode_config_set(&c, "nonsense", "1", "--nonsense", &err), LODE_EINVAL);
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(lode_config_set(&c, "data", long_text, "--data", &err), LODE_ELIMIT);
    assert_string_equal(c.data, "/nonexistent/home/.local/share/lode");
}

static void a_device_is_auto_cpu_or_gpus_by_number(void **state)
{
    static const char *const good[] = {"auto", "cpu", "cuda", "cuda:0", "cuda:15"};
    static const char *const bad[] = {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:999", "CUDA"};
    struct lode_config c = loaded();
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    assert_string_equal(c.device, "auto");
    assert_string_equal(c.cuda_module, "");
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(lode_config_set(&c, "device", good[i], "--device", &err), LODE_OK);
        assert_string_equal(c.device, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(lode_config_set(&c, "device", bad[i], "--device", &err), LODE_EINVAL);
        assert_non_null(strstr(err.msg, "--device"));
        assert_non_null(strstr(err.msg, "cuda:N"));
    }
}

static void a_missing_model_says_where_it_was_looked_for_and_what_to_do(void **state)
{
    struct lode_config c = loaded();
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    if (lode_config_find_model(&c, &err) == LODE_OK) skip(); /* this machine has one installed */
    assert_non_null(strstr(err.msg, "deploy/setup.sh"));
    assert_non_null(strstr(err.msg, "/usr/share/lode/models"));
    assert_non_null(strstr(err.msg, "/nonexistent/home/.local/share/lode/models"));
}

static void a_given_model_is_not_looked_for(void **state)
{
    struct lode_config c;
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    setenv("LODE_MODEL", "/somewhere/model", 1);
    c = loaded();
    assert_int_equal(lode_config_find_model(&c, &err), LODE_OK);
    assert_string_equal(c.model, "/somewhere/model");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_local_and_below_home, clean_environment),
        cmocka_unit_test_setup(the_environment_overrides_defaults_and_flags_override_both,
                               clean_environment),
        cmocka_unit_test_setup(wrong_values_name_where_they_came_from, clean_environment),
        cmocka_unit_test_setup(a_device_is_auto_cpu_or_gpus_by_number, clean_environment),
        cmocka_unit_test_setup(a_missing_model_says_where_it_was_looked_for_and_what_to_do,
                               clean_environment),
        cmocka_unit_test_setup(a_given_model_is_not_looked_for, clean_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
