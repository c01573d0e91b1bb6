#define _GNU_SOURCE /* TIOCGWINSZ; also on the BSDs, whose headers show it by default */
#define _DARWIN_C_SOURCE
#include "base/terminal.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define USUAL_WIDTH 80

#ifdef TIOCGWINSZ
static int width_told(int fd)
{
    struct winsize size = {0};

    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
#else
static int width_told(int fd)
{
    (void)fd;
    return 0;
}
#endif

int pool__terminal_width(int fd)
{
    int saved = errno, width = 0;

    if (isatty(fd)) {
        width = width_told(fd);
        width = width > 0 ? width : USUAL_WIDTH;
    }
    errno = saved;
    return width;
}
