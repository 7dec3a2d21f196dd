/* replay FILE-OR-DIRECTORY...: run a fuzz target once on each file, without
 * libFuzzer, so that a corpus is tested by any compiler. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "tests/fuzz/lib/fuzz.h"

#define FILE_MAX (4 * MiB)

static bool replay_file(const char *path)
{
    uint8_t *data = xmalloc(FILE_MAX);
    FILE *f = fopen(path, "rbe");
    size_t len;

    if (f == NULL) {
        perror(path);
        xfree(data);
        return false;
    }
    len = fread(data, 1, FILE_MAX, f);
    (void)fclose(f);
    data = xrealloc_array(data, len > 0 ? len : 1, 1);
    (void)LLVMFuzzerTestOneInput(data, len);
    xfree(data);
    return true;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The number of files in it, 0 if one cannot be read. */
static size_t replay_directory(const char *dir)
{
    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort);
    size_t done = 0;

    for (int i = 0; i < n; i++) {
        char path[1024];

        if (names[i]->d_name[0] != '.') {
            (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
            done += replay_file(path) ? 1 : 0;
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    return done;
}

int main(int argc, char **argv)
{
    size_t n = 0;

    for (int i = 1; i < argc; i++) {
        size_t done = is_directory(argv[i])  ? replay_directory(argv[i])
                      : replay_file(argv[i]) ? 1
                                             : 0;

        if (done == 0) {
            (void)fprintf(stderr, "%s: nothing to replay\n", argv[i]);
            return 1;
        }
        n += done;
    }
    printf("%zu files\n", n);
    return 0;
}
