namespace Nibble.Core.Formats;

/// <summary>
/// How the numbers of a block are stored, and what the bits mean. A row of a matrix is a run of blocks; a block is
/// <see cref="BlockSize"/> weights in <see cref="BlockBytes"/> bytes. A method reaches a format through two operations:
/// <see cref="Fit"/> chooses a block's parameters, <see cref="Put"/> rounds weights at a place and says what they became.
/// </summary>
/// <remarks>
/// Formats whose parameters reach further than a fixed block are bound before use: <see cref="ForColumns"/> binds one
/// whose block is the whole row, <see cref="Learn"/> one that shares a table (a codebook, a range) in the whole tensor.
/// </remarks>
public abstract partial class Format
{
    /// <summary>The public name: <c>Q4_0</c>, <c>Linear4</c>.</summary>
    public abstract string Name { get; }

    public abstract FormatFamily Family { get; }

    /// <summary>The type number in a GGUF file, or null where GGUF has none.</summary>
    public virtual uint? GgufType => null;

    /// <summary>Weights a block, along the row; 0 if that is the whole row and <see cref="ForColumns"/> has not bound it.</summary>
    public abstract int BlockSize { get; }

    /// <summary>Bytes a block.</summary>
    public abstract int BlockBytes { get; }

    /// <summary>Weights that one code holds, and that <see cref="Put"/> therefore rounds together.</summary>
    public virtual int Stride => 1;

    /// <summary>
    /// The most that nearest rounding of Gaussian weights may lose: mean-square error over mean square. The law tests
    /// hold every format to it.
    /// </summary>
    public abstract double ErrorBudget { get; }

    /// <summary>Bits a weight, scales and all; a table shared by the tensor is counted where the tensor is known.</summary>
    public double BitsPerWeight => BlockSize == 0 ? ForColumns(NominalRow).BitsPerWeight : 8.0 * BlockBytes / BlockSize;

    /// <summary>The row that bits a weight are stated for where the block is a row of any length.</summary>
    public const int NominalRow = 4096;

    /// <summary>Bytes of a row. Throws <see cref="UnusableInputException"/> if the block does not divide it.</summary>
    public long RowBytes(long columns)
    {
        if (BlockSize == 0) return columns == 0 ? 0 : ForColumns(checked((int)columns)).RowBytes(columns);
        if (columns % BlockSize != 0)
            throw new UnusableInputException($"{Name} stores blocks of {BlockSize} weights, which do not divide a row of {columns}");
        return columns / BlockSize * BlockBytes;
    }

    /// <summary>Whether rows of this length can be stored.</summary>
    public virtual bool Divides(long columns) => columns is > 0 and <= int.MaxValue && columns % ForColumns((int)columns).BlockSize == 0;

    /// <summary>The format bound to rows of this length; itself where the block is fixed.</summary>
    public virtual Format ForColumns(int columns) => this;

    /// <summary>
    /// The format with the table that this tensor shares, learned from its weights; itself where nothing is shared.
    /// </summary>
    public virtual Format Learn(IWeightSource source, LearnOptions options) => this;

    /// <summary>The bytes of the table that a tensor shares (a codebook, a range); empty where nothing is shared.</summary>
    public virtual ReadOnlyMemory<byte> Shared => default;

    /// <summary>Bytes of <see cref="Shared"/>, learned yet or not, to be counted once a tensor.</summary>
    public virtual long SharedBytes => 0;

    /// <summary>The format with a stored table; the inverse of <see cref="Shared"/>.</summary>
    public virtual Format WithShared(ReadOnlyMemory<byte> shared) => this;

    /// <summary>Chooses the parameters (scale, minimum, ...) of one block and writes them; the codes are left unspecified.</summary>
    /// <param name="weights"><see cref="BlockSize"/> weights, finite.</param>
    /// <param name="options">Importance and range.</param>
    /// <param name="block"><see cref="BlockBytes"/> bytes.</param>
    public abstract void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block);

    /// <summary>
    /// Rounds <see cref="Stride"/> weights at place <paramref name="at"/> of a block that was fitted, stores their codes,
    /// and says what they became. The places of a block are put in any order, each once or more.
    /// </summary>
    public abstract void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, Span<float> rounded);

    /// <summary>Quantizes a whole row by nearest rounding: fit, then put along every block.</summary>
    public abstract void Encode(ReadOnlySpan<float> row, in FitOptions options, Span<byte> bytes);

    /// <summary>The weights of a run of blocks: the meaning of the format, in float32.</summary>
    public abstract void Decode(ReadOnlySpan<byte> bytes, Span<float> weights);

    /// <summary>
    /// The numbers of a block that its weights are linear in, each by itself: groups first, then what all groups share. Empty
    /// where nobody has said which they are.
    /// </summary>
    public virtual IReadOnlyList<BlockParameter> BlockParameters => [];

    /// <summary>
    /// Weights that share a scale in <see cref="Unpack"/> (a divisor of <see cref="BlockSize"/>, at least 8), or 0 for a
    /// format whose values are not a scale times a signed byte; such a format is computed in float32.
    /// </summary>
    public virtual int Group => 0;

    /// <summary>Every code that <see cref="Unpack"/> can give, ascending; empty if it may give any signed byte.</summary>
    public virtual ReadOnlySpan<sbyte> Levels => [];

    /// <summary>True if every scale and offset of <see cref="Unpack"/> over <see cref="ScaleFactor"/>, or scale of <see cref="LevelsAt"/>, is exact in 16 bits.</summary>
    public virtual bool HalfScales => false;

    /// <summary>True if every scale of <see cref="Unpack"/>, over <see cref="ScaleFactor"/>, is 2^-8 times a number of E4M3.</summary>
    public virtual bool Float8Scales => false;

    /// <summary>
    /// True if every scale of <see cref="Unpack"/> is a power of two, at least 32 weights share one, and there are no offsets. Kernels
    /// keep its exponent, and take a scale below 2^-126, which is subnormal, for 0.
    /// </summary>
    public virtual bool PowerScales => false;

    /// <summary>True if <see cref="Unpack"/> gives offsets other than zero.</summary>
    public virtual bool HasOffsets => false;

    /// <summary>
    /// True if every scale of <see cref="Unpack"/> is exact in 16 bits, and every offset minus its scale times a whole number
    /// from -128 to 127.
    /// </summary>
    public virtual bool HasZeroPoints => false;

    /// <summary>
    /// Where the bits of a block's codes lie, the lowest first, if a code is or has its level's place in <see cref="Levels"/>, or is a signed
    /// byte, and <see cref="BlockParameters"/> are all its other numbers, but for a zero point as a code behind its scale; else empty.
    /// Such blocks are packed for the kernels 16 at a time.
    /// </summary>
    public virtual IReadOnlyList<CodePlanes> CodePlanes => [];

    /// <summary>The place of each code's level in <see cref="Levels"/>, where a code of 4 bits is not that place itself; else empty.</summary>
    public virtual ReadOnlySpan<byte> CodePlaces => [];

    /// <summary>True for two-level blocks, whose scales are small whole multiples of one number: see <see cref="Units"/>.</summary>
    public virtual bool HasUnits => false;

    /// <summary>
    /// The numbers that every scale and every offset of a block is a multiple of, by a factor from -128 to 127.
    /// </summary>
    public virtual (float Scale, float Offset) Units(ReadOnlySpan<byte> block) => default;

    /// <summary>
    /// A power of two that all scales are multiplied by: it is units over it that are exact in half precision, or scales over it that are
    /// what <see cref="HalfScales"/> or <see cref="Float8Scales"/> says. Only formats without offsets have another than 1.
    /// </summary>
    public virtual float ScaleFactor => 1;

    /// <summary>
    /// The weights of one block as the integer kernels want them:
    /// <c>weight[i] = scales[i / Group] * codes[i] + offsets[i / Group]</c>.
    /// </summary>
    public virtual void Unpack(ReadOnlySpan<byte> block, Span<sbyte> codes, Span<float> scales, Span<float> offsets) =>
        throw new NotSupportedException($"{Name} has no integer form.");

    /// <summary>
    /// How many tables of levels at any distances codes (as of <see cref="ReadCodes"/>) choose from, at most 256, if every 64 weights
    /// from a multiple of 64 on share a scale and a table: see <see cref="LevelsAt"/>. Else 0. Of more than 4 bits the top one is the sign.
    /// </summary>
    public virtual int LevelTables => 0;

    /// <summary>The scale and the number of the table that hold at a place of a block.</summary>
    public virtual (float Scale, int Table) LevelsAt(ReadOnlySpan<byte> block, int at) => throw new NotSupportedException($"{Name} has no tables of levels.");

    /// <summary>The levels of a table by code: <c>weight = scale * level[code]</c>.</summary>
    public virtual ReadOnlySpan<float> LevelTable(int table) => throw new NotSupportedException($"{Name} has no tables of levels.");

    /// <summary>True if a row times one input can be had straight from the codes: see <see cref="Dot"/>.</summary>
    public virtual bool HasDot => false;

    /// <summary>The sum of a row's weights times an input as long.</summary>
    public virtual float Dot(ReadOnlySpan<byte> row, ReadOnlySpan<float> x) => throw new NotSupportedException($"{Name} is decoded first.");

    /// <summary>The same of rows that follow each other, which may share what is read of the input.</summary>
    public virtual void DotRows(ReadOnlySpan<byte> rows, ReadOnlySpan<float> x, Span<float> y)
    {
        int bytes = rows.Length / y.Length;
        for (int r = 0; r < y.Length; r++) y[r] = Dot(rows.Slice(r * bytes, bytes), x);
    }

    /// <summary>True if a rule for the dynamic range (<see cref="FitOptions.Range"/>) has a say in its bits.</summary>
    public virtual bool HasRange => true;

    /// <summary>How many different codes a stride of weights may have, at most 65,536; 0 where they cannot be told apart.</summary>
    public virtual int CodeCount => Group == 0 || Stride > 1 ? 0 : Levels.IsEmpty ? 256 : Levels.Length;

    /// <summary>The codes of a block, one for each stride of weights, each below <see cref="CodeCount"/>; for statistics.</summary>
    public virtual void ReadCodes(ReadOnlySpan<byte> block, Span<ushort> codes)
    {
        Span<sbyte> signed = stackalloc sbyte[BlockSize];
        Unpack(block, signed, stackalloc float[BlockSize / Group], stackalloc float[BlockSize / Group]);
        ReadOnlySpan<sbyte> levels = Levels;
        for (int i = 0; i < signed.Length; i++)
            codes[i] = (ushort)(levels.IsEmpty ? signed[i] + 128 : levels.BinarySearch(signed[i]));
    }

    public override string ToString() => Name;
}

/// <summary>What a format may know when it learns a table for a whole tensor.</summary>
public sealed record LearnOptions
{
    /// <summary>Mean square of each input column, as long as a row, or empty.</summary>
    public ReadOnlyMemory<float> Importance { get; init; }
    public DynamicRange? Range { get; init; }
    /// <summary>The same seed gives the same table, on one thread or many.</summary>
    public ulong Seed { get; init; }
    /// <summary>Threads to learn with; 0 means one a core.</summary>
    public int Threads { get; init; }
    public Action<double>? Progress { get; init; }
}

/// <summary>A matrix of weights, read row by row as float32.</summary>
public interface IWeightSource
{
    int Rows { get; }
    int Columns { get; }

    /// <summary>Writes a row's weights; safe to call from several threads at once.</summary>
    void ReadRow(int row, Span<float> weights);
}
