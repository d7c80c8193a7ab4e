/* SPDX-License-Identifier: MIT */
/* The files of this folder, built into the program by embed.cmake. */
#ifndef LODE_GATEWAY_WEB_ASSETS_H
#define LODE_GATEWAY_WEB_ASSETS_H

#include <stddef.h>

struct lode_asset {
    const char *name;         /* as in /web/NAME; NULL ends the list */
    const char *content_type;
    const unsigned char *bytes;
    size_t len;
};
extern const struct lode_asset lode_assets[];

#endif
