/* SPDX-License-Identifier: MIT */
/* Running kernels: one at a time in the process. */
#ifndef LODE_EMU_LAUNCH_H
#define LODE_EMU_LAUNCH_H

namespace lode_emu
{

/* Makes device memory inaccessible to the host again, unless a kernel runs just now. */
void kernels_close();

} // namespace lode_emu

#endif
