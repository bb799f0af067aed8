using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// A tile of many rows: the lanes of two vectors are 16 of its rows, in the products as in the softmax, so nothing is summed
/// across lanes. Both products are the same: of numbers that are broadcast, one after the other, with rows of 16.
/// </summary>
public static unsafe partial class Attention
{
    /// <summary>Rows that are the lanes of two vectors.</summary>
    private const int GroupRows = 16;

    [ThreadStatic] private static GrowingBuffer? t_memory;

    private readonly partial struct Tiles
    {
        private void RunMany(int keyHead, int firstHead, int heads, int firstToken, int tokens)
        {
            int size = _in.Stored.KeySize, width = _in.ValueSize, groups = (heads * tokens + GroupRows - 1) / GroupRows;
            bool valuesInKeys = _in.Stored.ValueSize == 0;
            int block = BlockKeys, scratchSize = InPlace ? 0 : block * (size + _in.Stored.ValueSize);
            GrowingBuffer memory = t_memory ??= new GrowingBuffer();
            memory.Reserve((groups * RowGroup.Numbers(size, width) + KeyBlock * GroupRows + scratchSize) * sizeof(float));
            float* scores = (float*)memory.Pointer, firstGroup = scores + KeyBlock * GroupRows, keyScratch = firstGroup + groups * RowGroup.Numbers(size, width);
            for (int g = 0; g < groups; g++) LoadQueries(firstHead, heads, firstToken, tokens, g, new RowGroup(firstGroup, g, size, width));
            (int from, int to) = _in.InSight(firstToken, firstToken + tokens - 1);
            for (int count; from < to; from += count)
            {
                int slot = from % _in.Stored.Slots;
                count = Math.Min(Math.Min(block, to - from), _in.Stored.Slots - slot);
                float* keys = _in.Stored.Keys(keyHead, slot, count, keyScratch);
                float* values = valuesInKeys ? keys : _in.Stored.Values(keyHead, slot, count, keyScratch + block * size);
                bool partial = from < _in.InSight(firstToken + tokens - 1, firstToken + tokens - 1).From || from + count > _in.InSight(firstToken, firstToken).To;
                for (int g = 0; g < groups; g++)
                {
                    var rows = new RowGroup(firstGroup, g, size, width);
                    new Span<float>(scores, count * GroupRows).Clear();
                    AddProducts(WideProducts.Instance, keys, size, 1, count, rows.Queries, size, scores);
                    Cap(new Span<float>(scores, count * GroupRows));
                    if (partial) Hide(scores, heads, firstToken, tokens, g, from, count);
                    WeighRows(scores, count, rows, width);
                    AddProducts(WideProducts.Instance, values, 1, valuesInKeys ? size : width, width, scores, count, rows.Sums);
                }
            }
            for (int r = 0; r < heads * tokens; r++) StoreSums(firstHead + r % heads, firstToken + r / heads, r % GroupRows, new RowGroup(firstGroup, r / GroupRows, size, width));
        }

        /// <summary>Queries with their scale, a lane a row; lanes beyond the rows are zero. Sums begin with nothing.</summary>
        private void LoadQueries(int firstHead, int heads, int firstToken, int tokens, int group, RowGroup rows)
        {
            int size = _in.Stored.KeySize;
            new Span<float>(rows.Sums, _in.ValueSize * GroupRows).Clear();
            for (int lane = 0; lane < GroupRows; lane++)
            {
                int r = group * GroupRows + lane, head = firstHead + r % heads;
                bool isRow = r < heads * tokens;
                rows.Largest[lane] = isRow && _in.Sinks is not null ? _in.Sinks[head] : float.MinValue;
                rows.Total[lane] = _in.Sinks is null ? 0 : 1;
                float* query = isRow ? _in.Queries + (nint)(firstToken + r / heads) * _in.QueryStride + head * size : null;
                if (isRow && _in.Stored.Rotation > 0) Hadamard.Rotate(new Span<float>(query, size), _in.Stored.Rotation);
                for (int i = 0; i < size; i++) rows.Queries[i * GroupRows + lane] = isRow ? query[i] * _in.Scale : 0;
            }
        }

        /// <summary>Scores of keys that a row does not see become minus infinity.</summary>
        private void Hide(float* scores, int heads, int firstToken, int tokens, int group, int from, int count)
        {
            for (int lane = 0; lane < GroupRows; lane++)
            {
                int token = firstToken + Math.Min((group * GroupRows + lane) / heads, tokens - 1);
                (int low, int high) = _in.InSight(token, token);
                for (int j = 0; j < count; j++)
                    if (from + j < low || from + j >= high) scores[j * GroupRows + lane] = float.NegativeInfinity;
            }
        }

        private void StoreSums(int head, int token, int lane, RowGroup rows)
        {
            float* output = _in.Output + ((nint)token * _in.Heads + head) * _in.ValueSize;
            float inverse = 1 / rows.Total[lane];
            for (int i = 0; i < _in.ValueSize; i++) output[i] = rows.Sums[i * GroupRows + lane] * inverse;
            if (_in.Stored.Rotation > 0) Hadamard.Rotate(new Span<float>(output, _in.ValueSize), _in.Stored.Rotation);
        }
    }

    /// <summary>Where the numbers of 16 rows lie, a line of the cache for each: one number of all rows.</summary>
    private readonly struct RowGroup(float* first, int group, int size, int width)
    {
        /// <summary>[key size, rows].</summary>
        public float* Queries { get; } = first + group * Numbers(size, width);

        /// <summary>[value size, rows].</summary>
        public float* Sums => Queries + size * GroupRows;

        public float* Largest => Sums + width * GroupRows;

        public float* Total => Largest + GroupRows;

        public static nint Numbers(int size, int width) => (nint)(size + width + 2) * GroupRows;
    }

    /// <summary>
    /// Turns scores into weights relative to each row's largest so far. If a larger one has come, what was summed before
    /// shrinks accordingly.
    /// </summary>
    private static void WeighRows(float* scores, int count, RowGroup rows, int width)
    {
        for (int half = 0; half < GroupRows; half += Vector256<float>.Count)
        {
            Vector256<float> before = Vector256.Load(rows.Largest + half), most = before, sum = Vector256.Load(rows.Total + half);
            for (float* s = scores + half; s < scores + count * GroupRows; s += GroupRows) most = Vector256.Max(most, Vector256.Load(s));
            if (most != before)
            {
                Vector256<float> shrink = Exp(before - most);
                for (float* s = rows.Sums + half; s < rows.Sums + width * GroupRows; s += GroupRows) (Vector256.Load(s) * shrink).Store(s);
                sum *= shrink;
                most.Store(rows.Largest + half);
            }
            for (float* s = scores + half; s < scores + count * GroupRows; s += GroupRows)
            {
                Vector256<float> weight = Exp(Vector256.Load(s) - most);
                weight.Store(s);
                sum += weight;
            }
            sum.Store(rows.Total + half);
        }
    }

    /// <summary>
    /// e to numbers that are at most 0, within two units in the last place; 0 below -87, where singles end. After Cephes
    /// (Moshier): 2 to a whole number, times a polynomial of the rest, which is at most half of ln 2. What is no number stays none.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Exp(Vector256<float> x)
    {
        Vector256<float> hidden = Vector256.LessThanOrEqual(x, Vector256.Create(-87f));
        x = Vector256.MaxNative(Vector256.Create(-87f), x);
        Vector256<float> n = Vector256.Round(x * Vector256.Create(1.44269504f));
        // ln 2 in two parts, the first of few bits, so that n times it is exact.
        Vector256<float> r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-0.693359375f), x);
        r = Vector256.MultiplyAddEstimate(n, Vector256.Create(2.12194440e-4f), r);
        Vector256<float> p = Vector256.MultiplyAddEstimate(Vector256.Create(1.9875691500e-4f), r, Vector256.Create(1.3981999507e-3f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(8.3334519073e-3f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(4.1665795894e-2f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(1.6666665459e-1f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(5.0000001201e-1f));
        p = Vector256.MultiplyAddEstimate(p, r * r, r + Vector256<float>.One);
        Vector256<int> power = (Vector256.ConvertToInt32(n) + Vector256.Create(127)) << 23;
        return Vector256.AndNot(p * power.AsSingle(), hidden);
    }

    /// <summary>sums[m, rows] += Σ over k of a[m * apart + k * along] b[k, rows].</summary>
    /// <param name="wide">The generated code that takes eight numbers at a time, if there is any.</param>
    internal static void AddProducts(WideProducts? wide, float* a, nint apart, nint along, int numbers, float* b, int count, float* sums)
    {
        // A sum of thousands of numbers would lose digits; it is made of shorter ones.
        const int Longest = 256;
        for (int done = 0; done < count; done += Longest)
        {
            int next = Math.Min(Longest, count - done), m = 0;
            float* from = a + done * along, rows = b + done * GroupRows;
            if (wide is not null && numbers >= WideProducts.Numbers)
            {
                var arguments = new WideProducts.Arguments
                {
                    A = from,
                    Apart = apart * sizeof(float),
                    Along = along * sizeof(float),
                    B = rows,
                    Count = next,
                    Sums = sums,
                    Groups = numbers / WideProducts.Numbers,
                };
                wide.Add(ref arguments);
                m = numbers / WideProducts.Numbers * WideProducts.Numbers;
            }
            for (; m <= numbers - 4; m += 4) AddFour(from + m * apart, apart, along, rows, next, sums + m * GroupRows);
            for (; m < numbers; m++) AddOne(from + m * apart, along, rows, next, sums + m * GroupRows);
        }
    }

    /// <summary>Four times two vectors of sums stay in registers: eight products for six loads.</summary>
    private static void AddFour(float* a, nint apart, nint along, float* b, int count, float* sums)
    {
        float* a1 = a + apart, a2 = a1 + apart, a3 = a2 + apart;
        Vector256<float> s0 = default, t0 = default, s1 = default, t1 = default, s2 = default, t2 = default, s3 = default, t3 = default;
        nint at = 0;
        for (float* end = b + count * GroupRows; b < end; b += GroupRows, at += along)
        {
            Vector256<float> low = Vector256.Load(b), high = Vector256.Load(b + 8), x = Vector256.Create(a[at]);
            s0 = Vector256.MultiplyAddEstimate(x, low, s0);
            t0 = Vector256.MultiplyAddEstimate(x, high, t0);
            x = Vector256.Create(a1[at]);
            s1 = Vector256.MultiplyAddEstimate(x, low, s1);
            t1 = Vector256.MultiplyAddEstimate(x, high, t1);
            x = Vector256.Create(a2[at]);
            s2 = Vector256.MultiplyAddEstimate(x, low, s2);
            t2 = Vector256.MultiplyAddEstimate(x, high, t2);
            x = Vector256.Create(a3[at]);
            s3 = Vector256.MultiplyAddEstimate(x, low, s3);
            t3 = Vector256.MultiplyAddEstimate(x, high, t3);
        }
        (s0 + Vector256.Load(sums)).Store(sums);
        (t0 + Vector256.Load(sums + 8)).Store(sums + 8);
        (s1 + Vector256.Load(sums + 16)).Store(sums + 16);
        (t1 + Vector256.Load(sums + 24)).Store(sums + 24);
        (s2 + Vector256.Load(sums + 32)).Store(sums + 32);
        (t2 + Vector256.Load(sums + 40)).Store(sums + 40);
        (s3 + Vector256.Load(sums + 48)).Store(sums + 48);
        (t3 + Vector256.Load(sums + 56)).Store(sums + 56);
    }

    private static void AddOne(float* a, nint along, float* b, int count, float* sums)
    {
        Vector256<float> low = default, high = default;
        for (int k = 0; k < count; k++, a += along, b += GroupRows)
        {
            var x = Vector256.Create(*a);
            low = Vector256.MultiplyAddEstimate(x, Vector256.Load(b), low);
            high = Vector256.MultiplyAddEstimate(x, Vector256.Load(b + 8), high);
        }
        (low + Vector256.Load(sums)).Store(sums);
        (high + Vector256.Load(sums + 8)).Store(sums + 8);
    }
}
