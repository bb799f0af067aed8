using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using static Nibble.Core.Kernels.Exponential;

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
            bool valuesInKeys = _in.Stored.ValueSize == 0, pairs = _in.MayRound && _in.Stored.HavePairs;
            int block = BlockKeys, scratchSize = InPlace ? 0 : WholeKeys(block) * (size + _in.Stored.ValueSize);
            GrowingBuffer memory = t_memory ??= new GrowingBuffer();
            nint groupNumbers = RowGroup.Numbers(size, width), blockNumbers = KeyBlock * GroupRows;
            memory.Reserve((groups * groupNumbers + WideProducts.MostLines * blockNumbers + scratchSize) * sizeof(float));
            float* scores = (float*)memory.Pointer, firstGroup = scores + WideProducts.MostLines * blockNumbers, keyScratch = firstGroup + groups * groupNumbers;
            for (int g = 0; g < groups; g++)
            {
                var rows = new RowGroup(firstGroup, g, size, width);
                LoadQueries(firstHead, heads, firstToken, tokens, g, rows);
                if (pairs) JoinLines(rows.Queries, size);
            }
            (int from, int to) = _in.InSight(firstToken, firstToken + tokens - 1);
            for (int count; from < to; from += count)
            {
                int slot = from % _in.Stored.Slots;
                count = Math.Min(Math.Min(block, to - from), _in.Stored.Slots - slot);
                Block read = pairs ? new Block(_in.Stored, keyHead, slot, count, (uint*)keyScratch) : new Block(_in.Stored, keyHead, slot, count, keyScratch, keyScratch + block * size);
                bool partial = from < _in.InSight(firstToken + tokens - 1, firstToken + tokens - 1).From || from + count > _in.InSight(firstToken, firstToken).To;
                for (int g = 0, lines; g < groups; g += lines)
                {
                    lines = Math.Min(WideProducts.MostLines, groups - g);
                    var rows = new RowGroup(firstGroup, g, size, width);
                    Lines queries = new(rows.Queries, groupNumbers, lines), weights = new(scores, blockNumbers, lines), sums = new(rows.Sums, groupNumbers, lines);
                    for (int i = 0; i < lines; i++) new Span<float>(weights[i], read.KeyNumbers * GroupRows).Clear();
                    WideProducts? products = pairs ? WideProducts.OfPairs(lines) : WideProducts.For(lines);
                    AddProducts(products, read.Keys, read.KeySteps, 1, read.KeyNumbers, queries, read.KeySteps, weights);
                    for (int i = 0; i < lines; i++)
                    {
                        Cap(new Span<float>(weights[i], count * GroupRows));
                        if (partial) Hide(weights[i], heads, firstToken, tokens, g + i, from, count);
                        Weigh(WideWeights.Instance, new RowGroup(firstGroup, g + i, size, width).Weighing(weights[i], count, width));
                        if (pairs) JoinLines(weights[i], count);
                    }
                    AddProducts(products, read.Values, 1, valuesInKeys ? size : width, width, weights, read.ValueSteps, sums);
                }
            }
            for (int g = 0; g < groups; g++) StoreSums(firstHead, heads, firstToken, tokens, g, new RowGroup(firstGroup, g, size, width));
        }

        /// <summary>As many keys as the generated products take at a time, or more of them.</summary>
        private static int WholeKeys(int keys) => (keys + WideProducts.Numbers - 1) / WideProducts.Numbers * WideProducts.Numbers;

        /// <summary>Lines become half as many of pairs, where they are; an odd one gets a line of zeros beside it, for which there is room.</summary>
        private static void JoinLines(float* lines, int count)
        {
            if (count % 2 == 1) new Span<float>(lines + count * GroupRows, GroupRows).Clear();
            NumberPairs.OfFloats!.JoinRows(lines, GroupRows, (count + 1) / 2 * 2, (uint*)lines);
        }

        /// <summary>Some keys and values, as products read them: as numbers, or as pairs of bfloat16, which are steps of their own.</summary>
        private readonly struct Block
        {
            /// <summary>As numbers: [keys, key size] and [keys, value size], or the beginning of the keys.</summary>
            public Block(KeyValueRows stored, int head, int slot, int count, float* keys, float* values)
            {
                Keys = stored.Keys(head, slot, count, keys);
                Values = stored.ValueSize == 0 ? Keys : stored.Values(head, slot, count, values);
                (KeyNumbers, KeySteps, ValueSteps) = (count, stored.KeySize, count);
            }

            /// <summary>As pairs: [keys, half the key size] and [half the keys, value size]. Products of keys beyond the last, with whatever lies there, fill whole vectors.</summary>
            public Block(KeyValueRows stored, int head, int slot, int count, uint* pairs)
            {
                (KeyNumbers, KeySteps, ValueSteps) = (WholeKeys(count), stored.KeySize / 2, (count + 1) / 2);
                Keys = (float*)pairs;
                Values = Keys + KeyNumbers * KeySteps;
                stored.JoinKeys(head, slot, count, (uint*)Keys);
                stored.JoinValues(head, slot, count, (uint*)Values);
            }

            public float* Keys { get; }
            public float* Values { get; }

            /// <summary>Keys that are met.</summary>
            public int KeyNumbers { get; }

            /// <summary>Steps of the products with queries, and with weights.</summary>
            public int KeySteps { get; }
            public int ValueSteps { get; }
        }

        /// <summary>Queries with their scale, a lane a row; lanes beyond the rows are zero. Sums begin with nothing.</summary>
        private void LoadQueries(int firstHead, int heads, int firstToken, int tokens, int group, RowGroup rows)
        {
            int size = _in.Stored.KeySize;
            new Span<float>(rows.Sums, _in.ValueSize * GroupRows).Clear();
            if ((group + 1) * GroupRows > heads * tokens) new Span<float>(rows.Queries, size * GroupRows).Clear();
            float** queries = stackalloc float*[GroupRows];
            for (int lane = 0; lane < GroupRows; lane++)
            {
                int r = group * GroupRows + lane, head = firstHead + r % heads;
                bool isRow = r < heads * tokens;
                rows.Largest[lane] = isRow && _in.Sinks is not null ? _in.Sinks[head] : float.MinValue;
                rows.Total[lane] = _in.Sinks is null ? 0 : 1;
                queries[lane] = isRow ? _in.Queries + (nint)(firstToken + r / heads) * _in.QueryStride + head * size : null;
                if (isRow && _in.Stored.Rotation > 0) Hadamard.Rotate(new Span<float>(queries[lane], size), _in.Stored.Rotation);
            }
            for (int lane = 0; lane < GroupRows; lane += 4) LoadFour(queries + lane, size, rows.Queries + lane);
        }

        /// <summary>Four queries with their scale as lanes of lines; those that are null are left alone.</summary>
        private void LoadFour(float** queries, int size, float* lines)
        {
            int i = 0;
            for (; i <= size - 4 && queries[3] is not null; i += 4)
                Square.Turn(Scaled(queries[0] + i), Scaled(queries[1] + i), Scaled(queries[2] + i), Scaled(queries[3] + i), (byte*)(lines + i * GroupRows), GroupRows * sizeof(float));
            for (; i < size; i++)
                for (int lane = 0; lane < 4 && queries[lane] is not null; lane++) lines[i * GroupRows + lane] = queries[lane][i] * _in.Scale;
        }

        private Vector128<uint> Scaled(float* four) => (Vector128.Load(four) * _in.Scale).AsUInt32();

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

        /// <summary>Divides the sums of rows by their weights' sums, and writes them where they belong.</summary>
        private void StoreSums(int firstHead, int heads, int firstToken, int tokens, int group, RowGroup rows)
        {
            int width = _in.ValueSize, count = Math.Min(GroupRows, heads * tokens - group * GroupRows);
            float** outputs = stackalloc float*[GroupRows];
            for (int lane = 0, r = group * GroupRows; lane < count; lane++, r++)
            {
                rows.Total[lane] = 1 / rows.Total[lane];
                outputs[lane] = _in.Output + ((nint)(firstToken + r / heads) * _in.Heads + firstHead + r % heads) * width;
            }
            for (int lane = 0; lane < count; lane += 4) StoreFour(rows.Sums + lane, rows.Total + lane, Math.Min(4, count - lane), width, outputs + lane);
            for (int lane = 0; lane < count && _in.Stored.Rotation > 0; lane++) Hadamard.Rotate(new Span<float>(outputs[lane], width), _in.Stored.Rotation);
        }

        /// <summary>Lanes of lines as rows, up to four, each times its number.</summary>
        private static void StoreFour(float* lines, float* inverse, int count, int width, float** outputs)
        {
            float* square = stackalloc float[4 * 4];
            int i = 0;
            for (; i <= width - 4; i += 4)
            {
                float* from = lines + i * GroupRows;
                Square.Turn(Load(from), Load(from + GroupRows), Load(from + 2 * GroupRows), Load(from + 3 * GroupRows), (byte*)square, 4 * sizeof(float));
                for (int lane = 0; lane < count; lane++) (Vector128.Load(square + 4 * lane) * inverse[lane]).Store(outputs[lane] + i);
            }
            for (; i < width; i++)
                for (int lane = 0; lane < count; lane++) outputs[lane][i] = lines[i * GroupRows + lane] * inverse[lane];

            static Vector128<uint> Load(float* four) => Vector128.Load(four).AsUInt32();
        }
    }

    /// <summary>Lines of 16 rows each, side by side.</summary>
    /// <param name="first">The first row's.</param>
    /// <param name="apart">Numbers from there to the same of the rows beside.</param>
    /// <param name="count">1 or 2.</param>
    internal readonly struct Lines(float* first, nint apart, int count)
    {
        public int Count => count;

        /// <summary>Bytes from a line to the one beside it.</summary>
        public nint ApartBytes => apart * sizeof(float);

        public float* this[int line] => first + line * apart;

        /// <summary>So many lines further along.</summary>
        public Lines Skip(int lines) => new(first + lines * GroupRows, apart, count);
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

        /// <summary>What <see cref="Weigh(WideWeights?, WideWeights.Arguments)"/> does with scores of some keys.</summary>
        public WideWeights.Arguments Weighing(float* scores, int keys, int width) =>
            new() { Scores = scores, Keys = keys, Largest = Largest, Total = Total, Sums = Sums, SumLines = width };
    }

    /// <summary>
    /// Turns scores into weights relative to each row's largest so far. If a larger one has come, what was summed before
    /// shrinks accordingly.
    /// </summary>
    /// <param name="wide">The generated code, if there is any.</param>
    internal static void Weigh(WideWeights? wide, WideWeights.Arguments rows)
    {
        if (wide is not null)
        {
            wide.Weigh(ref rows);
            return;
        }
        for (int half = 0; half < GroupRows; half += Vector256<float>.Count)
        {
            Vector256<float> before = Vector256.Load(rows.Largest + half), most = before, sum = Vector256.Load(rows.Total + half);
            for (float* s = rows.Scores + half; s < rows.Scores + rows.Keys * GroupRows; s += GroupRows) most = Vector256.Max(most, Vector256.Load(s));
            if (most != before)
            {
                Vector256<float> shrink = Exp(before - most);
                for (float* s = rows.Sums + half; s < rows.Sums + rows.SumLines * GroupRows; s += GroupRows) (Vector256.Load(s) * shrink).Store(s);
                sum *= shrink;
                most.Store(rows.Largest + half);
            }
            for (float* s = rows.Scores + half; s < rows.Scores + rows.Keys * GroupRows; s += GroupRows)
            {
                Vector256<float> weight = Exp(Vector256.Load(s) - most);
                weight.Store(s);
                sum += weight;
            }
            sum.Store(rows.Total + half);
        }
    }

    /// <summary>sums[m, rows] += Σ over k of a[m * apart + k * along] b[k, rows].</summary>
    /// <param name="wide">The generated code that takes eight numbers and as many lines of rows at a time, if there is any.</param>
    internal static void AddProducts(WideProducts? wide, float* a, nint apart, nint along, int numbers, Lines b, int count, Lines sums)
    {
        // A sum of thousands of numbers would lose digits; it is made of shorter ones.
        const int Longest = 256;
        for (int done = 0; done < count; done += Longest)
        {
            int next = Math.Min(Longest, count - done), m = 0;
            float* from = a + done * along;
            Lines rows = b.Skip(done);
            if (wide is not null && numbers >= WideProducts.Numbers)
            {
                var arguments = new WideProducts.Arguments
                {
                    A = from,
                    Apart = apart * sizeof(float),
                    Along = along * sizeof(float),
                    B = rows[0],
                    BApart = rows.ApartBytes,
                    Count = next,
                    Sums = sums[0],
                    SumsApart = sums.ApartBytes,
                    Groups = numbers / WideProducts.Numbers,
                };
                wide.Add(ref arguments);
                m = numbers / WideProducts.Numbers * WideProducts.Numbers;
            }
            for (int line = 0; line < b.Count; line++) AddRest(from, apart, along, m, numbers, rows[line], next, sums[line]);
        }
    }

    /// <summary>The products of the numbers from one on.</summary>
    private static void AddRest(float* a, nint apart, nint along, int m, int numbers, float* rows, int count, float* sums)
    {
        for (; m <= numbers - 4; m += 4) AddFour(a + m * apart, apart, along, rows, count, sums + m * GroupRows);
        for (; m < numbers; m++) AddOne(a + m * apart, along, rows, count, sums + m * GroupRows);
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
