/* Goal: any text is an address or is refused, and an address that is printed
 * reads as the same. Method: parse, print, parse. */

#include "src/net/addr.h"

#include "tests/fuzz/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes text = {data, len};
    char printed[2][ADDR_URL_MAX];
    struct errmsg em = {{0}};
    struct addr a;
    struct addr b;

    if (addr_parse_url(text, &a, &em) < 0) {
        ASSERT(em.text[0] != '\0');
        return 0;
    }
    ASSERT(a.port > 0 && a.host[0] != '\0');
    addr_print_url(&a, printed[0]);
    text = (struct bytes){(const uint8_t *)printed[0], strlen(printed[0])};
    ASSERT(addr_parse_url(text, &b, &em) == 0);
    ASSERT(addr_equal(&a, &b));
    addr_print_url(&b, printed[1]);
    ASSERT(strcmp(printed[0], printed[1]) == 0);
    return 0;
}
