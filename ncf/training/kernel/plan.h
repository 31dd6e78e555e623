// What a step works on: the network and its optimiser's state, the samples, and the buffers between its pieces.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "team.h"

constexpr int64_t MOST_LAYERS = 16;
constexpr int64_t SAMPLES_AT_ONCE = 256;  // their activations stay in a core's cache
constexpr int64_t ITEMS_AT_ONCE = 64;
// A step's users and its items are cut into so many chunks, however many threads there are: sums over samples are
// taken chunk by chunk, so that the result does not depend on the threads.
constexpr int64_t CHUNKS = 16;
constexpr int64_t LANES_AT_MOST = 16;
constexpr int64_t NOT_ASCENDING = -1, OUT_OF_RANGE = -2;  // what is wrong with a step's users and items

// Mirrored, field by field, in structures.py. Arrays are float32 and contiguous.
struct Table {
    int64_t rows, width;
    float *weight, *mean, *square;  // [rows, width]; the moments of Adam
    int32_t *met;                   // [rows], the step that each was last updated in; null: all, in each step
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
    const float *scale_after;  // [step], `scale` of the step that a row was last updated in; for tables with `met`
    const float *drift;        // [step], how far such a row has moved since, in units of mean / sqrt(square)
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
    float l2;                     // by which each sample pulls its embeddings towards 0
    float *d_user_gmf, *d_user_mlp;  // [positives, ...]: at each user's first place
    float *d_item_gmf, *d_item_mlp;  // [n_rows, ...]
    Adam adam;
};

template <typename Number>
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    ~Buffer() { std::free(data_); }

    // Room for `size` numbers, with a vector's worth to spare; what was in it is lost when it grows.
    Number *room(int64_t size) {
        if (size > capacity_) {
            std::free(data_);
            data_ = nullptr;
            capacity_ = 0;
            const size_t bytes = (static_cast<size_t>(size) * sizeof(Number) + 127) / 64 * 64;
            data_ = static_cast<Number *>(std::aligned_alloc(64, bytes));
            if (data_ == nullptr) throw std::bad_alloc();
            capacity_ = size;
        }
        return data_;
    }

    Number *data() { return data_; }

  private:
    Number *data_ = nullptr;
    int64_t capacity_ = 0;
};

// Buffers of one thread.
struct Scratch {
    Buffer<float> hidden[MOST_LAYERS + 1], error[MOST_LAYERS + 1];
    Buffer<float> user_side, user_error, logits, losses, sums, embeddings, gradients, bias;
};

struct Plan {
    explicit Plan(Team &with) : team(with), scratch(with.size()) {}

    Team &team;
    std::vector<Scratch> scratch;

    int64_t width[MOST_LAYERS + 1];            // widths rounded up to whole vectors
    Buffer<float> forward[MOST_LAYERS];        // [in, out], padded with 0; of the first layer the users' part
    Buffer<float> backward[MOST_LAYERS];       // [out, in]
    Buffer<float> item_forward, item_backward;  // the items' part of the first layer
    Buffer<float> item_first;                  // [n_rows, width[1]]: what an item adds to the first layer, with its bias
    Buffer<float> first_error;                 // [samples, width[1]]: the loss by the first layer
    Buffer<float> error;                       // [samples]: the loss by the logit

    // Samples by item: those of row r are order[start[r] : start[r + 1]].
    Buffer<int32_t> order, other_order, start, row_of, counts;

    // Sums of a chunk of users: for each layer its weights [in, out] and its biases, then the output's; and of a
    // chunk of items: the items' part of the first layer, and its bias.
    Buffer<float> sums, item_sums;
    int64_t weight_at[MOST_LAYERS], bias_at[MOST_LAYERS], output_at, output_bias_at, sums_size;
    int64_t item_sums_size = 0;  // without a tower
    double loss[CHUNKS];

    int64_t user_cut[CHUNKS + 1];  // places of chunks in a step's users: no user is in two
    int64_t item_cut[CHUNKS + 1];  // places in its rows

    void prepare(const Step &step, int64_t lanes);
    int64_t sort_items(const Step &step, int32_t *distinct);
    void number_rows(const Step &step);

  private:
    void cut_users(const Step &step);
    void cut_items(const Step &step);
};
