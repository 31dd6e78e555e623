// The structures that Python passes to the compiled code. structures.py mirrors them field by field.
// Arrays are contiguous; their type is float32 unless another one is given.

#pragma once

#include <cstdint>

constexpr int64_t MOST_LAYERS = 16;
constexpr int64_t NOT_ASCENDING = -1, OUT_OF_RANGE = -2;  // faults of a step's users and items

struct Table {
    int64_t rows, width;
    float *weight, *mean, *square;  // [rows, width]; the moments of Adam
    int32_t *last_step;                   // [rows], the last step that updated each row; null: each step updates all rows
};

struct Array {
    int64_t size;
    float *weight, *mean, *square, *gradient;
    float l2;  // of an L2 term in the gradient
};

struct Adam {
    float beta1, beta2, epsilon;
    float rate;                // of this step, divided by 1 - beta1^step
    float scale;               // 1 / sqrt(1 - beta2^step)
    int32_t step;              // from 1
    const float *scale_after;  // [step], `scale` of the last step that updated a row, for tables with `last_step`
    const float *drift;        // [step], distance that such a row has moved since, in units of mean / sqrt(square)
};

struct Step {
    int64_t factors;                  // 0: no GMF part
    int64_t layers;                   // 0: no tower
    int64_t widths[MOST_LAYERS + 1];  // of an embedding, then of each layer
    Table user_gmf, user_mlp, item_gmf, item_mlp;
    Array weight[MOST_LAYERS], bias[MOST_LAYERS];  // [widths[l + 1], widths[l]], of the first layer twice as wide
    Array output, output_bias;
    int64_t n_users, n_items;

    int64_t positives, fan;       // `fan` items for each, the positive first
    const int32_t *users;         // [positives], ascending
    const int32_t *items;         // [positives, fan]
    const int32_t *rows;          // [n_rows], the items that have gradients, ascending; null: all
    int64_t n_rows;
    float scale;                  // of the gradients: 1 / samples of the whole step
    float l2;                     // L2 term of each sample's embeddings
    float *d_user_gmf, *d_user_mlp;  // [positives, ...]: at the first position of each user
    float *d_item_gmf, *d_item_mlp;  // [n_rows, ...]
    Adam adam;
};

// The items that are not negatives of each user.
struct Known {
    int64_t n_users, n_items;
    const int64_t *offsets;  // [n_users + 1]
    const int32_t *items;    // a user's ascending, without repeats
    const uint8_t *bitmap;   // [n_users, stride], a bit for each item; null: too large
    int64_t stride;
};
