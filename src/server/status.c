/* Status pages. status.h has the contract. */

#include "src/server/status.h"

#include <inttypes.h>

#include "src/base/buf.h"
#include "src/kv/kvstore.h"
#include "src/server/raftnode.h"

#ifndef RAFTEXAMPLE_VERSION
#define RAFTEXAMPLE_VERSION "unknown"
#endif

static const char *member_role(const struct conf_state *cs, uint64_t id)
{
    if (id_list_contains(&cs->voters, id)) {
        return "voter";
    }
    if (id_list_contains(&cs->learners, id)) {
        return "learner";
    }
    return "leaving";
}

static void put_members(struct buf *b, const struct raftnode *rn,
                        const struct conf_state *cs)
{
    const struct kvstore *store = raftnode_store(rn);

    (void)buf_append_byte(b, '[');
    for (size_t i = 0; i < kvstore_n_members(store); i++) {
        struct kv_member m = kvstore_member(store, i);

        (void)buf_printf(b, "%s{\"id\":%" PRIu64 ",\"url\":", i == 0 ? "" : ",",
                         m.id);
        if (m.url == NULL) {
            (void)buf_append_str(b, "null");
        } else {
            (void)buf_append_json(b, m.url);
        }
        (void)buf_printf(b, ",\"role\":\"%s\"}", member_role(cs, m.id));
    }
    (void)buf_append_byte(b, ']');
}

static void put_progress(struct buf *b, const struct raft_status *st)
{
    (void)buf_append_byte(b, '{');
    for (size_t i = 0; i < st->n_progress; i++) {
        const struct raft_progress_status *p = &st->progress[i];

        (void)buf_printf(b,
                         "%s\"%" PRIu64 "\":{\"match\":%" PRIu64
                         ",\"next\":%" PRIu64 ",\"state\":\"%s\""
                         ",\"inflight\":%zu,\"recent_active\":%s}",
                         i == 0 ? "" : ",", p->id, p->match, p->next, p->state,
                         p->inflight, p->recent_active ? "true" : "false");
    }
    (void)buf_append_byte(b, '}');
}

static const char *short_role(enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_CANDIDATE:
        return "candidate";
    case RAFT_LEADER:
        return "leader";
    case RAFT_PRE_CANDIDATE:
        return "pre-candidate";
    }
    UNREACHABLE();
}

static void put_status(struct buf *b, const struct raftnode *rn,
                       const struct status_context *sc)
{
    struct raftnode_status st;

    raftnode_get_status(rn, &st);
    (void)buf_printf(
        b,
        "{\"id\":%" PRIu64 ",\"name\":\"raftexample%" PRIu64
        "\",\"version\":\"" RAFTEXAMPLE_VERSION "\",\"role\":\"%s\""
        ",\"term\":%" PRIu64 ",\"vote\":%" PRIu64 ",\"leader\":%" PRIu64
        ",\"commit\":%" PRIu64 ",\"applied\":%" PRIu64
        ",\"first_index\":%" PRIu64 ",\"last_index\":%" PRIu64
        ",\"log_bytes\":%" PRIu64 ",\"snapshot_index\":%" PRIu64 ",\"keys\":%zu"
        ",\"pending_proposals\":%zu,\"pending_reads\":%zu"
        ",\"uptime_seconds\":%" PRIu64 ".%03" PRIu64 ",\"members\":",
        sc->id, sc->id, short_role(st.raft.soft_state.role),
        st.raft.hard_state.term, st.raft.hard_state.vote,
        st.raft.soft_state.lead, st.raft.hard_state.commit, st.raft.applied,
        st.raft.first_index, st.raft.last_index, st.log_bytes,
        st.snapshot_index, kvstore_len(raftnode_store(rn)),
        st.pending_proposals, st.pending_reads, sc->uptime_ms / 1000,
        sc->uptime_ms % 1000);
    put_members(b, rn, &st.conf_state);
    (void)buf_append_str(b, ",\"progress\":");
    put_progress(b, &st.raft);
    (void)buf_append_str(b, "}\n");
    raftnode_status_release(&st);
}

static int put_health(struct buf *b, const struct raftnode *rn)
{
    const char *why = NULL;

    if (raftnode_healthy(rn, &why)) {
        (void)buf_append_str(b, "{\"health\":\"true\"}\n");
        return 200;
    }
    (void)buf_append_str(b, "{\"health\":\"false\",\"reason\":");
    (void)buf_append_json(b, why);
    (void)buf_append_str(b, "}\n");
    return 503;
}

static bool path_is(struct bytes path, const char *want)
{
    const uint8_t *query = memchr(path.data, '?', path.len);
    size_t len = query == NULL ? path.len : (size_t)(query - path.data);

    return len == strlen(want) && memcmp(path.data, want, len) == 0;
}

int status_page(const struct raftnode *rn, const struct status_context *sc,
                struct bytes path, struct buf *body, const char **content_type)
{
    *content_type = "application/json";
    if (path_is(path, "/health")) {
        return put_health(body, rn);
    }
    if (path_is(path, "/status")) {
        put_status(body, rn, sc);
        return 200;
    }
    if (path_is(path, "/members")) {
        struct raftnode_status st;

        raftnode_get_status(rn, &st);
        put_members(body, rn, &st.conf_state);
        (void)buf_append_byte(body, '\n');
        raftnode_status_release(&st);
        return 200;
    }
    if (path_is(path, "/version")) {
        (void)buf_append_str(body, "{\"raftexample\":\"" RAFTEXAMPLE_VERSION
                                   "\",\"etcdserver\":\"3.4.23\","
                                   "\"etcdcluster\":\"3.4.0\"}\n");
        return 200;
    }
    *content_type = "text/plain; charset=utf-8";
    (void)buf_append_str(body, "404 page not found\n");
    return 404;
}
