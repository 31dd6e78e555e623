// Products of matrices in tiles whose sums stay in registers, for one instruction set: LANES floats in a vector, ROWS
// rows by VECTORS vectors of sums. step.cpp includes this file once for each set.

typedef float Vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline Vector load(const float *from) { return *reinterpret_cast<const Vector *>(from); }
static inline void store(float *to, Vector value) { *reinterpret_cast<Vector *>(to) = value; }

// The operation on a product before it is stored in C.
enum Finish {
    PLAIN,
    ADD,     // it is added to C
    BIAS,    // `with` [columns] is added
    RELU,    // as BIAS, then what is below 0 becomes 0
    MASKED,  // it becomes 0 where `with`, of C's shape, is 0
};

// C[r, n] (+)= sum over k of A[r, k] B[k, n], for `rows` rows of A and `vectors` vectors of columns; the element
// A[r, k] is a[r * row_stride + k * k_stride], so that A may be a matrix or its transpose.
template <Finish finish, int rows, int vectors>
static inline void tile(int64_t depth, const float *a, int64_t row_stride, int64_t k_stride, const float *b,
                        int64_t b_stride, float *c, int64_t c_stride, const float *with) {
    Vector sums[rows][vectors];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sums[r][v] = finish == ADD                      ? load(c + r * c_stride + v * LANES)
                         : finish == BIAS || finish == RELU ? load(with + v * LANES)
                                                            : Vector{};
    for (int64_t k = 0; k < depth; k++) {
        Vector columns[vectors];
        for (int v = 0; v < vectors; v++) columns[v] = load(b + k * b_stride + v * LANES);
        for (int r = 0; r < rows; r++) {
            const float factor = a[r * row_stride + k * k_stride];
            for (int v = 0; v < vectors; v++) sums[r][v] += factor * columns[v];
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            Vector sum = sums[r][v];
            if (finish == RELU) sum = sum > Vector{} ? sum : Vector{};
            if (finish == MASKED) sum = load(with + r * c_stride + v * LANES) > Vector{} ? sum : Vector{};
            store(c + r * c_stride + v * LANES, sum);
        }
}

template <Finish finish, int vectors>
static inline void column_block(int64_t rows, int64_t depth, const float *a, int64_t row_stride, int64_t k_stride,
                                const float *b, int64_t b_stride, float *c, int64_t c_stride, const float *with) {
    const int64_t with_stride = finish == MASKED ? c_stride : 0;
    int64_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
        tile<finish, ROWS, vectors>(depth, a + r * row_stride, row_stride, k_stride, b, b_stride, c + r * c_stride,
                                    c_stride, with + r * with_stride);
    for (; r < rows; r++)
        tile<finish, 1, vectors>(depth, a + r * row_stride, row_stride, k_stride, b, b_stride, c + r * c_stride,
                                 c_stride, with + r * with_stride);
}

// C [rows, columns] (+)= A [rows, depth] B [depth, columns]; columns is a multiple of LANES.
template <Finish finish>
static void multiply(int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t row_stride,
                     int64_t k_stride, const float *b, int64_t b_stride, float *c, int64_t c_stride,
                     const float *with) {
    int64_t n = 0;
    for (; n + VECTORS * LANES <= columns; n += VECTORS * LANES)
        column_block<finish, VECTORS>(rows, depth, a, row_stride, k_stride, b + n, b_stride, c + n, c_stride, with + n);
    for (; n + 2 * LANES <= columns; n += 2 * LANES)
        column_block<finish, 2>(rows, depth, a, row_stride, k_stride, b + n, b_stride, c + n, c_stride, with + n);
    for (; n < columns; n += LANES)
        column_block<finish, 1>(rows, depth, a, row_stride, k_stride, b + n, b_stride, c + n, c_stride, with + n);
}

// to[f] = sum over n samples of rows[row_of(sample), f] * factor(sample), for `vectors` vectors of columns.
template <int vectors, typename RowOf, typename Factor>
static inline void sum_columns(const int32_t *samples, int64_t n, const float *rows, int64_t stride, float *to,
                               const RowOf &row_of, const Factor &factor) {
    constexpr int64_t AHEAD = 12;
    Vector sums[vectors];
    for (int v = 0; v < vectors; v++) sums[v] = Vector{};
    for (int64_t p = 0; p < n; p++) {
        if (p + AHEAD < n) {
            const float *later = rows + row_of(samples[p + AHEAD]) * stride;
            for (int v = 0; v < vectors; v++) __builtin_prefetch(later + v * LANES);
        }
        const float *row = rows + row_of(samples[p]) * stride;
        const float own = factor(samples[p]);
        for (int v = 0; v < vectors; v++) sums[v] += own * load(row + v * LANES);
    }
    for (int v = 0; v < vectors; v++) store(to + v * LANES, sums[v]);
}

template <typename RowOf, typename Factor>
static inline void sum_rows(const int32_t *samples, int64_t n, const float *rows, int64_t width, int64_t stride,
                            float *to, const RowOf &row_of, const Factor &factor) {
    int64_t f = 0;
    for (; f + 8 * LANES <= width; f += 8 * LANES)
        sum_columns<8>(samples, n, rows + f, stride, to + f, row_of, factor);
    for (; f + 4 * LANES <= width; f += 4 * LANES)
        sum_columns<4>(samples, n, rows + f, stride, to + f, row_of, factor);
    for (; f + LANES <= width; f += LANES)
        sum_columns<1>(samples, n, rows + f, stride, to + f, row_of, factor);
    for (; f < width; f++) {
        float sum = 0;
        for (int64_t p = 0; p < n; p++) sum += factor(samples[p]) * rows[row_of(samples[p]) * stride + f];
        to[f] = sum;
    }
}
