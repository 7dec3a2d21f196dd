/* Every limit of the program, with its unit.
 *
 * Whatever a client, a peer or a file can make grow has its bound here, and is
 * checked against it before memory is taken. How the limits relate is said by
 * static asserts, so that a change of one cannot silently break another. */

#ifndef SRC_BASE_BOUNDS_H
#define SRC_BASE_BOUNDS_H

#include <assert.h>

#include "src/base/common.h"

#define KiB ((size_t)1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)

/* --- clients (http-api.md 1) --- */
#define HTTP_REQUEST_LINE_MAX  (8 * KiB)
#define HTTP_HEADERS_MAX       (16 * KiB) /* all field lines together */
#define HTTP_FIELDS_MAX        100
#define HTTP_BLANK_LINES_MAX   4         /* before a request line */
#define HTTP_CHUNK_DIGITS_MAX  16        /* of a chunk size */
#define HTTP_PIPELINE_MAX      256       /* requests without an answer yet */
#define HTTP_WRITE_QUEUE_MAX   (4 * MiB) /* then reading stops */
#define HTTP_HEADER_TIMEOUT_MS 10000
#define HTTP_IDLE_TIMEOUT_MS   300000
#define HTTP_WRITE_TIMEOUT_MS  30000 /* without a byte taken by the client */
#define HTTP_LINGER_MS         2000  /* for the other end to close after us */
#define HTTP_READ_CHUNK        (64 * KiB)  /* one read of a socket */
#define HTTP_BACKLOG           1024        /* connections not yet accepted */
#define HTTP_POOL_BUFS         64          /* idle buffers kept for reuse */
#define HTTP_POOL_BUF_MAX      (4 * MiB)   /* larger ones are freed */
#define HTTP_POOL_BYTES_MAX    (16 * MiB)  /* all of them together */
#define HTTP_POOL_EXCHANGES    1024        /* idle exchanges kept for reuse */
#define HTTP_BODIES_MAX        (256 * MiB) /* being read, all clients together */
#define VALUE_SIZE_DEFAULT     (1536 * KiB)
#define VALUE_SIZE_LIMIT       (64 * MiB) /* largest --max-value-size */
#define KEY_SIZE_MAX           HTTP_REQUEST_LINE_MAX
#define MEMBER_URL_MAX         1024       /* bytes of a member's URL */
#define MEMBER_BODY_MAX        (64 * KiB) /* a URL and white space around it */
#define CLIENT_CONNS_MIN       8          /* with few descriptors */
#define CLIENT_CONNS_MAX       16384

static_assert(HTTP_BODIES_MAX >= 2 * VALUE_SIZE_LIMIT,
              "the largest value can be taken while another one is");

/* --- one log entry --- */
/* Key, value and what gob adds around them. */
#define PAYLOAD_SIZE_MAX (VALUE_SIZE_LIMIT + KEY_SIZE_MAX + 256)
#define ENTRY_SIZE_MAX   (PAYLOAD_SIZE_MAX + 64)
static_assert(PAYLOAD_SIZE_MAX > VALUE_SIZE_LIMIT + KEY_SIZE_MAX + 128,
              "a payload holds the largest key and value");

/* --- raft (formats-raftexample.md 2) --- */
#define RAFT_MAX_SIZE_PER_MSG      (1 * MiB) /* entries of one MsgApp */
#define RAFT_MAX_INFLIGHT_MSGS     256
#define RAFT_MAX_UNCOMMITTED_BYTES (256 * MiB)
#define RAFT_MAX_COMMITTED_BYTES   (64 * MiB) /* handed out per Ready */
#define MEMBERS_MAX                1024       /* ids in a ConfState */
#define PENDING_PROPOSALS_MAX      65536
#define PENDING_PROPOSAL_BYTES_MAX (256 * MiB)
#define PENDING_READS_MAX          65536
#define PARKED_CONF_CHANGES_MAX    64

/* Of the log in memory, beside the bounds in entries, --snapshot-count and
 * --snapshot-catchup-entries: what is applied makes a snapshot due when it is
 * more than the first and the size of the last snapshot together, so that the
 * log takes no more memory than about the state, and a snapshot writes no more
 * bytes than the log did. What a snapshot leaves for slow followers is bounded
 * by the second. */
#define LOG_BYTES_MAX     (128 * MiB)
#define CATCHUP_BYTES_MAX (64 * MiB)

/* --- peers (formats-transport.md) --- */
#define PEER_MESSAGE_MAX        (512 * MiB) /* as etcd: one framed message */
#define PEER_APPEND_ENTRIES_MAX 1000000     /* entries of one type 1 frame */
#define PEER_QUEUE_BYTES_MAX    (64 * MiB)  /* not yet taken by the socket */
#define PEER_CONNS_MIN          16          /* with few descriptors */
#define PEER_CONNS_MAX          256         /* accepted on the peer port */
#define PEER_REMOTES_MAX        16 /* senders that are no members yet */

/* --- descriptors --- */
#define FD_RESERVE   64 /* for files, the event loop, links to the peers */
#define FD_LIMIT_MIN 64 /* of a process that is to be of use */
static_assert(FD_LIMIT_MIN - CLIENT_CONNS_MIN - PEER_CONNS_MIN >= 40,
              "with few descriptors most are for files and links to the peers");

/* --- disk (formats-wal.md) --- */
#define WAL_SEGMENT_BYTES_DEFAULT 64000000
#define WAL_RECORD_MAX            (128 * MiB) /* one frame read back */
#define SNAPSHOT_FILE_MAX         (4 * GiB - 1)
#define SNAPSHOTS_KEPT            2
static_assert(WAL_RECORD_MAX > ENTRY_SIZE_MAX + 64,
              "every entry we accept can be read back");

#endif /* SRC_BASE_BOUNDS_H */
