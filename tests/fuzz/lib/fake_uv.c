/* libuv over memory. fake_uv.h has the contract. */

#include "tests/fuzz/lib/fake_uv.h"

#include <netdb.h>

#include "src/base/alloc.h"

#define HANDLES_MAX 64
#define BUFS_MAX    2

/* Behind a handle of libuv. */
struct fake_handle {
    uv_handle_t *h; /* NULL: a free slot */
    uv_close_cb close_cb;
    bool closing;

    /* timer */
    bool armed;
    uint64_t due_ms;
    uv_timer_cb timer_cb;

    /* listener */
    uv_connection_cb connection_cb;

    /* connection */
    struct fake_end *end;
    bool reading;
    uv_alloc_cb alloc_cb;
    uv_read_cb read_cb;
    uv_write_t *write;
    uv_buf_t bufs[BUFS_MAX]; /* the rest of the write */
    unsigned n_bufs;
    uv_shutdown_t *shutdown;
    uv_connect_t *connect;
};

static struct {
    struct fake_handle handles[HANDLES_MAX];
    size_t n_handles;         /* slots from the first to the last in use */
    uv_getaddrinfo_t *lookup; /* under way */
    int lookup_rc;
    uint64_t now_ms;
    struct fake_end *dialing;  /* for uv_accept */
    struct fake_end *expected; /* for uv_tcp_connect */
} fake;

static struct fake_handle *find(const void *h)
{
    for (size_t i = 0; i < fake.n_handles; i++) {
        if (fake.handles[i].h == h) {
            return &fake.handles[i];
        }
    }
    UNREACHABLE();
}

static struct fake_handle *free_slot(void)
{
    size_t i = 0;

    while (i < fake.n_handles && fake.handles[i].h != NULL) {
        i++;
    }
    ASSERT(i < HANDLES_MAX);
    fake.n_handles = i < fake.n_handles ? fake.n_handles : i + 1;
    return &fake.handles[i];
}

static void open_handle(void *h, uv_handle_type type, uv_loop_t *loop)
{
    struct fake_handle *f = free_slot();

    *f = (struct fake_handle){.h = h};
    f->h->type = type;
    f->h->loop = loop;
}

/* --- the test's side --- */

void fake_uv_init(uv_loop_t *loop)
{
    fake_uv_release(); /* an earlier loop has left free slots only */
    fake.n_handles = 0;
    fake.dialing = NULL;
    fake.expected = NULL;
    fake.now_ms = 1000;
    memset(loop, 0, sizeof(*loop));
}

void fake_uv_release(void)
{
    for (size_t i = 0; i < fake.n_handles; i++) {
        ASSERT(fake.handles[i].h == NULL);
    }
    ASSERT(fake.lookup == NULL);
}

static void end_init(struct fake_end *end, size_t room)
{
    *end = (struct fake_end){.room = room};
    buf_init(&end->got, BUF_UNLIMITED);
}

void fake_end_release(struct fake_end *end)
{
    buf_release(&end->got);
}

void fake_uv_dial(struct fake_end *end, size_t room)
{
    end_init(end, room);
    fake.dialing = end;
    for (size_t i = 0; i < fake.n_handles; i++) {
        struct fake_handle *f = &fake.handles[i];

        if (f->h != NULL && f->connection_cb != NULL && !f->closing) {
            f->connection_cb((uv_stream_t *)f->h, 0);
            break;
        }
    }
    fake.dialing = NULL;
}

void fake_uv_expect(struct fake_end *end, size_t room)
{
    end_init(end, room);
    fake.expected = end;
}

static bool is_reading(const struct fake_end *end)
{
    return end->handle != NULL && find(end->handle)->reading;
}

size_t fake_uv_give(struct fake_end *end, struct bytes data)
{
    size_t done = 0;

    while (done < data.len && is_reading(end)) {
        struct fake_handle *f = find(end->handle);
        uv_buf_t buf = {0};
        size_t n;

        f->alloc_cb(f->h, 65536, &buf);
        n = buf.len < data.len - done ? buf.len : data.len - done;
        ASSERT(n > 0);
        memcpy(buf.base, data.data + done, n);
        done += n;
        f->read_cb((uv_stream_t *)f->h, (ssize_t)n, &buf);
    }
    return done;
}

void fake_uv_end_input(struct fake_end *end, int rc)
{
    uv_buf_t none = {0};

    if (is_reading(end)) {
        struct fake_handle *f = find(end->handle);

        f->read_cb((uv_stream_t *)f->h, rc, &none);
    }
}

/* --- a turn --- */

static void run_timer(struct fake_handle *f)
{
    if (f->h != NULL && !f->closing && f->armed && f->due_ms <= fake.now_ms) {
        f->armed = false;
        f->timer_cb((uv_timer_t *)f->h);
    }
}

static void finish_lookup(void)
{
    uv_getaddrinfo_t *req = fake.lookup;

    if (req != NULL) {
        fake.lookup = NULL;
        req->cb(req, fake.lookup_rc, NULL);
    }
}

static void finish_connect(struct fake_handle *f)
{
    uv_connect_t *req = f->connect;

    if (req == NULL) {
        return;
    }
    f->connect = NULL;
    if (f->end != NULL) {
        f->end->begun = !f->closing;
    }
    req->cb(req, f->closing       ? UV_ECANCELED
                 : f->end == NULL ? UV_ECONNREFUSED
                                  : 0);
}

/* What the other end has room for. */
static size_t take(struct fake_handle *f, const uv_buf_t *buf)
{
    size_t n = buf->len < f->end->room ? buf->len : f->end->room;

    ASSERT(buf_append(&f->end->got, buf->base, n) == 0);
    f->end->room -= n;
    return n;
}

static void go_on_writing(struct fake_handle *f)
{
    uv_write_t *req = f->write;
    uv_stream_t *stream = (uv_stream_t *)f->h;

    if (req == NULL) {
        return;
    }
    for (unsigned i = 0; i < f->n_bufs && !f->closing; i++) {
        size_t n = take(f, &f->bufs[i]);

        f->bufs[i].base += n;
        f->bufs[i].len -= n;
        stream->write_queue_size -= n;
    }
    if (stream->write_queue_size == 0 || f->closing) {
        stream->write_queue_size = 0;
        f->write = NULL;
        req->cb(req, f->closing ? UV_ECANCELED : 0);
    }
}

static void finish_shutdown(struct fake_handle *f)
{
    uv_shutdown_t *req = f->shutdown;

    if (req != NULL && (f->write == NULL || f->closing)) {
        f->shutdown = NULL;
        f->end->fin |= !f->closing;
        req->cb(req, f->closing ? UV_ECANCELED : 0);
    }
}

static void finish_close(struct fake_handle *f)
{
    uv_handle_t *h = f->h;
    uv_close_cb cb = f->close_cb;

    if (f->end != NULL) {
        f->end->handle = NULL;
    }
    f->h = NULL;
    if (cb != NULL) {
        cb(h);
    }
}

void fake_uv_turn(uint64_t ms)
{
    bool closing[HANDLES_MAX];
    size_t n;

    fake.now_ms += ms;
    for (size_t i = 0; i < fake.n_handles; i++) {
        run_timer(&fake.handles[i]);
    }
    finish_lookup();
    for (size_t i = 0; i < fake.n_handles; i++) {
        struct fake_handle *f = &fake.handles[i];

        if (f->h != NULL && f->h->type == UV_TCP) {
            finish_connect(f);
            go_on_writing(f);
            finish_shutdown(f);
        }
    }
    n = fake.n_handles; /* a close callback may open another */
    for (size_t i = 0; i < n; i++) {
        closing[i] = fake.handles[i].h != NULL && fake.handles[i].closing;
    }
    for (size_t i = 0; i < n; i++) {
        if (closing[i]) {
            finish_close(&fake.handles[i]);
        }
    }
}

/* --- libuv's side: handles --- */

void uv_close(uv_handle_t *handle, uv_close_cb close_cb)
{
    struct fake_handle *f = find(handle);

    ASSERT(!f->closing);
    f->closing = true;
    f->reading = false;
    f->armed = false;
    f->close_cb = close_cb;
}

uint64_t uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return fake.now_ms;
}

int uv_gettimeofday(uv_timeval64_t *tv)
{
    *tv = (uv_timeval64_t){.tv_sec = 1700000000};
    return 0;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *handle)
{
    open_handle(handle, UV_TIMER, loop);
    return 0;
}

int uv_timer_start(uv_timer_t *handle, uv_timer_cb cb, uint64_t timeout,
                   uint64_t repeat)
{
    struct fake_handle *f = find(handle);

    ASSERT(!f->closing && repeat == 0);
    f->armed = true;
    f->due_ms = fake.now_ms + timeout;
    f->timer_cb = cb;
    return 0;
}

const char *uv_strerror(int err)
{
    return err == UV_EOF ? "end of file" : "an error";
}

/* --- addresses --- */

int uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *req,
                   uv_getaddrinfo_cb getaddrinfo_cb, const char *node,
                   const char *service, const struct addrinfo *hints)
{
    struct addrinfo *ai;
    struct sockaddr_in *sin;

    (void)loop;
    (void)node;
    (void)service;
    (void)hints;
    if (getaddrinfo_cb != NULL) {
        ASSERT(fake.lookup == NULL);
        req->cb = getaddrinfo_cb;
        fake.lookup = req;
        fake.lookup_rc = UV_EAI_NONAME;
        return 0;
    }
    ai = xcalloc(1, sizeof(*ai));
    sin = xcalloc(1, sizeof(*sin));
    sin->sin_family = AF_INET;
    ai->ai_family = AF_INET;
    ai->ai_addr = (struct sockaddr *)sin;
    ai->ai_addrlen = sizeof(*sin);
    req->addrinfo = ai;
    return 0;
}

void uv_freeaddrinfo(struct addrinfo *ai)
{
    if (ai != NULL) {
        xfree(ai->ai_addr);
        xfree(ai);
    }
}

int uv_cancel(uv_req_t *req)
{
    ASSERT((void *)req == (void *)fake.lookup);
    fake.lookup_rc = UV_ECANCELED;
    return 0;
}

int uv_ip4_addr(const char *ip, int port, struct sockaddr_in *addr)
{
    (void)ip;
    (void)port;
    *addr = (struct sockaddr_in){.sin_family = AF_INET};
    return 0;
}

int uv_ip6_addr(const char *ip, int port, struct sockaddr_in6 *addr)
{
    (void)ip;
    (void)port;
    (void)addr;
    return UV_EINVAL;
}

int uv_ip_name(const struct sockaddr *src, char *dst, size_t size)
{
    (void)src;
    (void)snprintf(dst, size, "192.0.2.1");
    return 0;
}

/* --- sockets --- */

int uv_tcp_init(uv_loop_t *loop, uv_tcp_t *handle)
{
    open_handle(handle, UV_TCP, loop);
    handle->write_queue_size = 0;
    return 0;
}

int uv_tcp_nodelay(uv_tcp_t *handle, int enable)
{
    (void)handle;
    return enable == 1 ? 0 : UV_EINVAL;
}

int uv_tcp_keepalive(uv_tcp_t *handle, int enable, unsigned int delay)
{
    (void)handle;
    (void)delay;
    return enable == 1 ? 0 : UV_EINVAL;
}

int uv_tcp_bind(uv_tcp_t *handle, const struct sockaddr *addr,
                unsigned int flags)
{
    (void)handle;
    (void)addr;
    return flags == 0 ? 0 : UV_EINVAL;
}

static int any_name(struct sockaddr *name, int *namelen)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = 256};

    ASSERT((size_t)*namelen >= sizeof(sin));
    memcpy(name, &sin, sizeof(sin));
    *namelen = sizeof(sin);
    return 0;
}

int uv_tcp_getsockname(const uv_tcp_t *handle, struct sockaddr *name,
                       int *namelen)
{
    (void)handle;
    return any_name(name, namelen);
}

int uv_tcp_getpeername(const uv_tcp_t *handle, struct sockaddr *name,
                       int *namelen)
{
    (void)handle;
    return any_name(name, namelen);
}

int uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb cb)
{
    (void)backlog;
    find(stream)->connection_cb = cb;
    return 0;
}

static void join(struct fake_handle *f, struct fake_end *end)
{
    f->end = end;
    end->handle = (uv_stream_t *)f->h;
}

int uv_accept(uv_stream_t *server, uv_stream_t *client)
{
    ASSERT(find(server)->connection_cb != NULL);
    if (fake.dialing == NULL) {
        return UV_EAGAIN;
    }
    join(find(client), fake.dialing);
    fake.dialing = NULL;
    return 0;
}

int uv_tcp_connect(uv_connect_t *req, uv_tcp_t *handle,
                   const struct sockaddr *addr, uv_connect_cb cb)
{
    struct fake_handle *f = find(handle);

    (void)addr;
    ASSERT(f->connect == NULL && !f->closing);
    req->cb = cb;
    req->handle = (uv_stream_t *)handle;
    f->connect = req;
    if (fake.expected != NULL) {
        join(f, fake.expected);
        fake.expected = NULL;
    }
    return 0;
}

int uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc_cb, uv_read_cb read_cb)
{
    struct fake_handle *f = find(stream);

    ASSERT(!f->closing && !f->reading);
    f->reading = true;
    f->alloc_cb = alloc_cb;
    f->read_cb = read_cb;
    return 0;
}

int uv_read_stop(uv_stream_t *stream)
{
    find(stream)->reading = false;
    return 0;
}

int uv_try_write(uv_stream_t *handle, const uv_buf_t bufs[], unsigned int nbufs)
{
    struct fake_handle *f = find(handle);
    size_t done = 0;

    ASSERT(!f->closing && f->write == NULL && !f->end->fin);
    for (unsigned i = 0; i < nbufs; i++) {
        done += take(f, &bufs[i]);
    }
    return done > 0 ? (int)done : UV_EAGAIN;
}

int uv_write(uv_write_t *req, uv_stream_t *handle, const uv_buf_t bufs[],
             unsigned int nbufs, uv_write_cb cb)
{
    struct fake_handle *f = find(handle);

    ASSERT(!f->closing && f->write == NULL && nbufs <= BUFS_MAX);
    req->cb = cb;
    req->handle = handle;
    f->write = req;
    f->n_bufs = nbufs;
    for (unsigned i = 0; i < nbufs; i++) {
        f->bufs[i] = bufs[i];
        handle->write_queue_size += bufs[i].len;
    }
    return 0;
}

size_t uv_stream_get_write_queue_size(const uv_stream_t *stream)
{
    return stream->write_queue_size;
}

int uv_shutdown(uv_shutdown_t *req, uv_stream_t *handle, uv_shutdown_cb cb)
{
    struct fake_handle *f = find(handle);

    ASSERT(!f->closing && f->shutdown == NULL);
    req->cb = cb;
    req->handle = handle;
    f->shutdown = req;
    return 0;
}

uv_buf_t uv_buf_init(char *base, unsigned int len)
{
    return (uv_buf_t){.base = base, .len = len};
}
