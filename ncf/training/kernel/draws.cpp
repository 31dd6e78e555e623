// Which positives a step trains on, and their negatives: exact, and the same whatever the number of threads, as
// every random number depends on its place alone.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "team.h"

// Number `place` of the sequence that splitmix64 (Steele, Lea and Flood 2014) gives from the seed `key`.
static inline uint64_t random_at(uint64_t key, uint64_t place) {
    uint64_t x = key + (place + 1) * 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
}

// Uniform below `limit`, with a bias below limit / 2^64.
static inline uint64_t below(uint64_t random, uint64_t limit) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(random) * limit) >> 64);
}

// Mirrored, field by field, in structures.py.
struct Known {
    int64_t n_users, n_items;
    const int64_t *offsets;  // [n_users + 1]
    const int32_t *items;    // a user's ascending, without repeats
    const uint8_t *bitmap;   // [n_users, stride], a bit for each item; null: too large
    int64_t stride;
};

constexpr uint64_t ATTEMPTS = 16;
constexpr int ATTEMPT_BIT = 48;  // places of a draw's later attempts stand so high above those of the first
constexpr uint64_t LAST_ATTEMPT = ATTEMPTS << ATTEMPT_BIT;
constexpr int64_t AT_ONCE = 1 << 12;

// Turn ranks among the items that a user does not know into those items. Before an item stand the positives whose
// own rank among the unknown, item - place, is not above its rank; the searches go side by side.
static inline void unknown_at(const int32_t *items, int64_t known, int64_t n, int32_t *ranks) {
    constexpr int64_t SIDE_BY_SIDE = 8;
    for (int64_t first = 0; first < n; first += SIDE_BY_SIDE) {
        const int64_t some = std::min(SIDE_BY_SIDE, n - first);
        int32_t *rank = ranks + first;
        int32_t passed[SIDE_BY_SIDE] = {};
        for (int64_t left = known; left > 0;) {
            const int32_t half = static_cast<int32_t>((left + 1) / 2);
            for (int64_t k = 0; k < some; k++) {
                const int32_t last = passed[k] + half - 1;
                passed[k] += items[last] - last <= rank[k] ? half : 0;
            }
            left -= half;
        }
        for (int64_t k = 0; k < some; k++) rank[k] += passed[k];
    }
}

static inline void draw_by_search(const Known &known, int64_t user, uint64_t key, uint64_t place, int64_t n,
                                  int32_t *drawn) {
    const int64_t begin = known.offsets[user], taken = known.offsets[user + 1] - begin;
    for (int64_t k = 0; k < n; k++)
        drawn[k] = static_cast<int32_t>(below(random_at(key, place + static_cast<uint64_t>(k) + LAST_ATTEMPT),
                                              static_cast<uint64_t>(known.n_items - taken)));
    unknown_at(known.items + begin, taken, n, drawn);
}

// `n` draws for a user, the first of them number `place` of all.
static inline void draw(const Known &known, int64_t user, uint64_t key, uint64_t place, int64_t n, int32_t *drawn) {
    if (known.bitmap == nullptr) return draw_by_search(known, user, key, place, n, drawn);
    const uint8_t *bits = known.bitmap + user * known.stride;
    for (int64_t k = 0; k < n; k++) {
        bool found = false;
        for (uint64_t attempt = 0; attempt < ATTEMPTS && !found; attempt++) {
            const uint64_t random = random_at(key, place + static_cast<uint64_t>(k) + (attempt << ATTEMPT_BIT));
            const uint64_t item = below(random, static_cast<uint64_t>(known.n_items));
            drawn[k] = static_cast<int32_t>(item);
            found = !((bits[item >> 3] >> (item & 7)) & 1);
        }
        if (!found) draw_by_search(known, user, key, place + static_cast<uint64_t>(k), 1, drawn + k);
    }
}

static inline int64_t bound(int64_t step, int64_t rows, int64_t steps) {
    return static_cast<int64_t>(static_cast<__int128>(step) * rows / steps);
}

static int64_t parts_of(int64_t n, int64_t at_once) { return (n + at_once - 1) / at_once; }

extern "C" {

// Set the users' bits; `bitmap` is all 0.
void ncf_bitmap(Team *team, const Known *known, uint8_t *bitmap) {
    team->each(parts_of(known->n_users, AT_ONCE), [&](int64_t part, int) {
        for (int64_t user = part * AT_ONCE; user < std::min(known->n_users, (part + 1) * AT_ONCE); user++) {
            uint8_t *bits = bitmap + user * known->stride;
            for (int64_t p = known->offsets[user]; p < known->offsets[user + 1]; p++)
                bits[known->items[p] >> 3] |= static_cast<uint8_t>(1 << (known->items[p] & 7));
        }
    });
}

// For each of `n` positives, numbers in `positives` (null: 0 to n - 1), its user, its item and `negatives` draws.
void ncf_draw(Team *team, const Known *known, const int32_t *positives, int64_t n, const int32_t *user_of,
              const int32_t *item_of, int64_t negatives, uint64_t key, int32_t *users, int32_t *items) {
    const int64_t at_once = std::max<int64_t>(1, AT_ONCE / (1 + negatives));
    team->each(parts_of(n, at_once), [&](int64_t part, int) {
        for (int64_t p = part * at_once; p < std::min(n, (part + 1) * at_once); p++) {
            const int64_t positive = positives ? positives[p] : p;
            const int32_t user = user_of[positive];
            int32_t *row = items + p * (1 + negatives);
            users[p] = user;
            row[0] = item_of[positive];
            draw(*known, user, key, static_cast<uint64_t>(positive * negatives), negatives, row + 1);
        }
    });
}

// Deal `n` positives to `steps` steps at random: those of a step, ascending, in `dealt[bound(step) : bound(step + 1)]`.
//
// The steps' numbers, each as often as the step is large, are shuffled: thrown into buckets at random, then shuffled
// in each (Sanders 1998), where they fit a core's cache.
void ncf_deal(Team *team, int64_t n, int64_t steps, uint64_t key, int32_t *dealt) {
    constexpr int64_t PART = 1 << 16;
    if (n == 0) return;
    const int64_t parts = parts_of(n, PART);
    int bits = 0;
    while ((int64_t{1} << bits) < parts) bits++;
    const int64_t buckets = int64_t{1} << bits;
    std::vector<int32_t> step_of(static_cast<size_t>(n));
    std::vector<int64_t> places(static_cast<size_t>(parts * std::max(buckets, steps)));

    // from counts of each value in each part to the places where its first one goes
    const auto to_places = [&](int64_t values) {
        int64_t before = 0;
        for (int64_t value = 0; value < values; value++)
            for (int64_t part = 0; part < parts; part++) {
                int64_t &count = places[static_cast<size_t>(part * values + value)];
                const int64_t own = count;
                count = before;
                before += own;
            }
    };
    const auto bucket_of = [&](int64_t p) {
        return bits ? static_cast<int64_t>(random_at(key, static_cast<uint64_t>(p)) >> (64 - bits)) : 0;
    };
    team->each(parts, [&](int64_t part, int) {
        int64_t *count = &places[static_cast<size_t>(part * buckets)];
        std::fill(count, count + buckets, 0);
        for (int64_t p = part * PART; p < std::min(n, (part + 1) * PART); p++) count[bucket_of(p)]++;
    });
    to_places(buckets);
    std::vector<int64_t> bucket_start(places.begin(), places.begin() + buckets);
    bucket_start.push_back(n);
    team->each(parts, [&](int64_t part, int) {
        int64_t *next = &places[static_cast<size_t>(part * buckets)];
        int64_t step = part * PART * steps / n;
        while (step > 0 && bound(step, n, steps) > part * PART) step--;
        for (int64_t p = part * PART; p < std::min(n, (part + 1) * PART); p++) {
            while (bound(step + 1, n, steps) <= p) step++;
            step_of[static_cast<size_t>(next[bucket_of(p)]++)] = static_cast<int32_t>(step);
        }
    });
    team->each(buckets, [&](int64_t bucket, int) {
        int32_t *own = step_of.data() + bucket_start[static_cast<size_t>(bucket)];
        const int64_t size = bucket_start[static_cast<size_t>(bucket + 1)] - bucket_start[static_cast<size_t>(bucket)];
        const uint64_t first = (static_cast<uint64_t>(bucket) + 1) << 40;
        for (int64_t i = size - 1; i > 0; i--)
            std::swap(own[i], own[below(random_at(key, first + static_cast<uint64_t>(i)), static_cast<uint64_t>(i + 1))]);
    });
    team->each(parts, [&](int64_t part, int) {
        int64_t *count = &places[static_cast<size_t>(part * steps)];
        std::fill(count, count + steps, 0);
        for (int64_t p = part * PART; p < std::min(n, (part + 1) * PART); p++) count[step_of[static_cast<size_t>(p)]]++;
    });
    to_places(steps);
    team->each(parts, [&](int64_t part, int) {
        int64_t *next = &places[static_cast<size_t>(part * steps)];
        for (int64_t p = part * PART; p < std::min(n, (part + 1) * PART); p++)
            dealt[next[step_of[static_cast<size_t>(p)]]++] = static_cast<int32_t>(p);
    });
}
}
