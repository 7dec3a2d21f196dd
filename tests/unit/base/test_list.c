/* Goal: the intrusive list keeps order and stays linked through removal and
 * splicing. Method: after each operation the list is read in both directions
 * and compared with the expected sequence. */

#include "src/base/list.h"

#include "tests/lib/cmocka.h"

struct node {
    int value;
    struct list link;
};

static struct node *node_of(struct list *l)
{
    return container_of(l, struct node, link);
}

/* `want` ends with a 0. */
static void check(struct list *head, const int *want)
{
    size_t n = 0;

    list_for_each (it, head) {
        assert_int_equal(node_of(it)->value, want[n]);
        assert_ptr_equal(it->next->prev, it);
        assert_ptr_equal(it->prev->next, it);
        n++;
    }
    assert_int_equal(want[n], 0);
    assert_int_equal(list_is_empty(head), n == 0);
}

static void fill(struct list *head, struct node *nodes, size_t n, int first)
{
    list_init(head);
    for (size_t i = 0; i < n; i++) {
        nodes[i].value = first + (int)i;
        list_push_back(head, &nodes[i].link);
    }
}

static void test_push_and_pop(void **state)
{
    (void)state;
    struct node nodes[3];
    struct list head;

    fill(&head, nodes, 3, 1);
    check(&head, (int[]){1, 2, 3, 0});
    assert_ptr_equal(list_pop_front(&head), &nodes[0].link);
    check(&head, (int[]){2, 3, 0});
    assert_ptr_equal(list_pop_front(&head), &nodes[1].link);
    assert_ptr_equal(list_pop_front(&head), &nodes[2].link);
    assert_null(list_pop_front(&head));
    check(&head, (int[]){0});
}

static void test_remove_is_idempotent(void **state)
{
    (void)state;
    struct node nodes[3];
    struct list head;

    fill(&head, nodes, 3, 1);
    list_remove(&nodes[1].link);
    check(&head, (int[]){1, 3, 0});
    list_remove(&nodes[1].link);
    check(&head, (int[]){1, 3, 0});
    assert_true(list_is_empty(&nodes[1].link));
}

static void test_splice(void **state)
{
    (void)state;
    struct node a[2];
    struct node b[2];
    struct list to;
    struct list from;

    fill(&to, a, 2, 1);
    fill(&from, b, 2, 3);
    list_splice(&to, &from);
    check(&to, (int[]){1, 2, 3, 4, 0});
    check(&from, (int[]){0});
    list_splice(&to, &from);
    check(&to, (int[]){1, 2, 3, 4, 0});
    list_splice(&from, &to);
    check(&from, (int[]){1, 2, 3, 4, 0});
    check(&to, (int[]){0});
}

static void test_remove_while_iterating(void **state)
{
    (void)state;
    struct node nodes[5];
    struct list head;

    fill(&head, nodes, 5, 1);
    list_for_each_safe (it, &head) {
        if (node_of(it)->value % 2 == 1) {
            list_remove(it);
        }
    }
    check(&head, (int[]){2, 4, 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push_and_pop),
        cmocka_unit_test(test_remove_is_idempotent),
        cmocka_unit_test(test_splice),
        cmocka_unit_test(test_remove_while_iterating),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
