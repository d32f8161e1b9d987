/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_transcode.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR 24

static unsigned columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* "1:02:03", "2:03"; "-" for what is not known. */
static void clock_text(char *out, size_t room, double seconds)
{
    unsigned long s = seconds > 0 ? (unsigned long)(seconds + 0.5) : 0;
    if (s == 0) {
        snprintf(out, room, "-");
    } else if (s >= 3600) {
        snprintf(out, room, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(out, room, "%lu:%02lu", s / 60, s % 60);
    }
}

/* One line, never wider than the terminal: a wrapped one could not be drawn over. */
static void line(const char *name, double part, double fps, double eta_s)
{
    char text[160], bar[BAR + 1], left[32];
    unsigned full = (unsigned)(part * BAR + 0.5), width = columns() - 1;
    memset(bar, '-', BAR);
    memset(bar, '#', full > BAR ? BAR : full);
    bar[BAR] = 0;
    clock_text(left, sizeof left, eta_s);
    snprintf(text, sizeof text, "  %-10.10s [%s] %5.1f %%  %8.1f fps  %9s to go", name, bar,
             part * 100, fps, left);
    fprintf(stderr, "\x1b[K%.*s\n", (int)width, text);
}

void cli_meter(const struct rr_transcode_progress *progress)
{
    static unsigned drawn; /* lines */
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    if (drawn > 0) {
        fprintf(stderr, "\x1b[%uA\r", drawn);
    }
    if (progress == NULL) {
        fprintf(stderr, "%s", drawn > 0 ? "\x1b[J" : "");
        drawn = 0;
    } else {
        line("all", progress->percent / 100, progress->fps, progress->eta_s);
        for (uint32_t i = 0; i < progress->rendition_count; i++) {
            const struct rr_transcode_rendition_progress *r = &progress->renditions[i];
            line(r->name, r->gops > 0 ? (double)r->gops_done / r->gops : 0, r->fps, r->eta_s);
        }
        drawn = progress->rendition_count + 1;
    }
    fflush(stderr);
}
