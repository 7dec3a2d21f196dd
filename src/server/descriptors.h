/* How the descriptors that a process may have are shared out, so that neither
 * clients nor whoever connects to the peer port takes those that files and our
 * own links to the peers need [reliability F16]: a log that cannot open its
 * next segment ends the node. */

#ifndef SRC_SERVER_DESCRIPTORS_H
#define SRC_SERVER_DESCRIPTORS_H

#include "src/base/common.h"

struct descriptors {
    size_t clients; /* connections on the client port; more of them wait */
    size_t peers;   /* on the peer port */
};

/* Of `limit` in all. Below FD_LIMIT_MIN there is not enough for everything, and
 * each gets its least. */
struct descriptors descriptors_share(uint64_t limit);

#endif /* SRC_SERVER_DESCRIPTORS_H */
