using System.Buffers.Binary;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Eight weights a code of 16 bits, a point of the lattice E8 (<see cref="E8Lattice"/>) under a scale of a group, a row or the
/// tensor: a codebook that needs no training. A block is the scale, then the codes, each two bytes.
/// </summary>
public sealed class E8Format : StrideFormat
{
    private static readonly Granularity DefaultGranularity = Granularity.Group(64);

    private readonly Granularity _granularity;
    private readonly ScaleArray _scale;
    private readonly int _columns;
    private readonly ReadOnlyMemory<byte> _shared;

    private E8Format(Granularity granularity, ScaleType scale, int columns, ReadOnlyMemory<byte> shared)
    {
        if (scale.IsDouble()) throw new ArgumentException("the scale of vectors is f32, f16, bf16 or p2");
        if (granularity.Size % Stride != 0) throw new ArgumentException("a group must be whole vectors of 8");
        if (columns % Stride != 0) throw new UnusableInputException($"vectors of {Stride} weights do not divide a row of {columns}");
        _granularity = granularity;
        _scale = new ScaleArray(scale, 1, Signed: false);
        _columns = columns;
        _shared = shared;
        BlockSize = granularity.Reach switch { Reach.Group => granularity.Size, Reach.Row => columns, _ => Stride };
        BlockBytes = HeaderBytes + BlockSize / Stride * sizeof(ushort);
        Name = MakeName();
    }

    /// <summary>Groups of 64 under F16 scales.</summary>
    public static E8Format Default { get; } = new(DefaultGranularity, ScaleType.F16, 0, default);

    private int HeaderBytes => _granularity.Reach == Reach.Tensor ? 0 : _scale.Bytes;

    public override string Name { get; }
    public override FormatFamily Family => FormatFamily.Vector;
    public override bool HasRange => false;
    public override int BlockSize { get; }
    public override int BlockBytes { get; }
    public override int Stride => E8Lattice.Dimension;
    public override double ErrorBudget => _granularity.Reach == Reach.Group && _scale.Type != ScaleType.PowerOfTwo ? 0.105 : 0.2;

    public override bool Divides(long columns) => columns > 0 && columns % Math.Max(_granularity.Size, Stride) == 0;

    public override Format ForColumns(int columns) =>
        columns == _columns || _granularity.Reach != Reach.Row ? this : new E8Format(_granularity, _scale.Type, columns, _shared);

    public override ReadOnlyMemory<byte> Shared => _shared;

    public override long SharedBytes => _granularity.Reach == Reach.Tensor ? _scale.Bytes : 0;

    public override Format WithShared(ReadOnlyMemory<byte> shared)
    {
        if (shared.Length != SharedBytes)
            throw new UnusableInputException($"{Name} shares {SharedBytes} bytes in a tensor, not {shared.Length}");
        return SharedBytes == 0 ? this : new E8Format(_granularity, _scale.Type, _columns, shared);
    }

    public override Format Learn(IWeightSource source, LearnOptions options)
    {
        if (_granularity.Reach != Reach.Tensor) return this;
        (float[] weights, float[] importance) = TensorSample.Of(source, options.Importance.Span);
        int whole = weights.Length / Stride * Stride, step = Math.Max(1, whole / Stride / (1 << 14)) * Stride;
        var (chosen, matter) = (new List<float>(), new List<float>());
        for (int i = 0; i < whole; i += step)
        {
            chosen.AddRange(weights.AsSpan(i, Stride));
            if (importance.Length > 0) matter.AddRange(importance.AsSpan(i, Stride));
        }
        var shared = new byte[_scale.Bytes];
        WriteScale([.. chosen], new FitOptions { Importance = matter.ToArray() }, shared);
        return new E8Format(_granularity, _scale.Type, _columns, shared);
    }

    private float ScaleOf(ReadOnlySpan<byte> block)
    {
        if (_granularity.Reach != Reach.Tensor) return _scale.Read(block, 0);
        return _shared.Length > 0 ? _scale.Read(_shared.Span, 0) : throw new InvalidOperationException($"{Name} has learned no range of this tensor.");
    }

    public override void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block)
    {
        if (_granularity.Reach != Reach.Tensor) WriteScale(weights, options, block);
    }

    /// <summary>The best of some scales around the one that suits Gaussian weights, since groups differ in their tails.</summary>
    private void WriteScale(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> stored)
    {
        const float GaussianScale = 0.96f;
        double power = 0;
        foreach (float w in weights) power += (double)w * w;
        var typical = (float)(GaussianScale * Math.Sqrt(power / weights.Length));
        ReadOnlySpan<float> factors = [1, 0.84f, 0.92f, 1.09f, 1.19f, 1.35f];
        float best = typical;
        double least = double.PositiveInfinity;
        foreach (float factor in factors)
        {
            _scale.Write(stored, [typical * factor]);
            double error = Error(weights, options.Importance, _scale.Read(stored, 0));
            if (error < least) (least, best) = (error, typical * factor);
        }
        _scale.Write(stored, [best]);
    }

    private static double Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float scale)
    {
        if (scale < 1e-37f) return double.MaxValue;
        double sum = 0;
        Span<float> x = stackalloc float[E8Lattice.Dimension], tempered = stackalloc float[E8Lattice.Dimension];
        for (int at = 0; at < weights.Length; at += x.Length)
        {
            for (int j = 0; j < x.Length; j++) x[j] = weights[at + j] / scale;
            E8Lattice.Nearest(x, VectorImportance.Temper(importance, at, tempered), out float distance);
            sum += (double)distance * scale * scale;
        }
        return sum;
    }

    protected override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, Span<float> rounded)
    {
        float scale = ScaleOf(block), inverse = scale < 1e-37f ? 0 : 1 / scale;
        Span<float> x = stackalloc float[E8Lattice.Dimension];
        for (int j = 0; j < x.Length; j++) x[j] = weights[j] * inverse;
        int code = E8Lattice.Nearest(x, importance, out _);
        BinaryPrimitives.WriteUInt16LittleEndian(block[(HeaderBytes + at / Stride * sizeof(ushort))..], (ushort)code);
        E8Lattice.Read(code, scale).CopyTo(rounded);
    }

    public override void Decode(ReadOnlySpan<byte> bytes, Span<float> weights)
    {
        for (int from = 0; from < weights.Length; from += BlockSize, bytes = bytes[BlockBytes..])
        {
            float scale = ScaleOf(bytes);
            ReadOnlySpan<byte> codes = bytes[HeaderBytes..BlockBytes];
            Span<float> to = weights.Slice(from, BlockSize);
            for (int i = 0; i < codes.Length / sizeof(ushort); i++)
                E8Lattice.Read(BinaryPrimitives.ReadUInt16LittleEndian(codes[(sizeof(ushort) * i)..]), scale).CopyTo(to[(Stride * i)..]);
        }
    }

    public override int Group => _granularity.Reach == Reach.Group ? _granularity.Size : GroupedFormat.PieceOf(BlockSize);
    public override ReadOnlySpan<sbyte> Levels => [-11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11];

    public override bool HalfScales => _scale.Type == ScaleType.F16;
    public override float ScaleFactor => HalfScales ? 0.25f : 1;

    public override void Unpack(ReadOnlySpan<byte> block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int i = 0; i < BlockSize / Stride; i++)
            E8Lattice.Read(BinaryPrimitives.ReadUInt16LittleEndian(block[(HeaderBytes + sizeof(ushort) * i)..]), codes[(Stride * i)..]);
        scales[..(BlockSize / Group)].Fill(ScaleOf(block) / 4);
        offsets[..(BlockSize / Group)].Clear();
    }

    public override int CodeCount => 1 << 16;

    public override void ReadCodes(ReadOnlySpan<byte> block, Span<ushort> codes)
    {
        for (int i = 0; i < BlockSize / Stride; i++)
            codes[i] = BinaryPrimitives.ReadUInt16LittleEndian(block[(HeaderBytes + sizeof(ushort) * i)..]);
    }

    private string MakeName()
    {
        var name = new FormatName("Vector8-E8");
        if (_granularity != DefaultGranularity) name.Add(_granularity.ToString());
        if (_scale.Type != ScaleType.F16) name.Add(_scale.Type.Word());
        return name.ToString();
    }

    /// <summary>The format that a name describes, or null if it is not the name of this family: <c>Vector8-E8</c>, then words for granularity and scale.</summary>
    /// <exception cref="UnusableInputException">It is, but its words are unknown or do not go together.</exception>
    public static E8Format? TryParse(string name)
    {
        var words = new FormatName.Reader(name);
        if (!words.Takes("vector8-e8") && !words.Takes("e8")) return null;
        Granularity granularity = DefaultGranularity;
        ScaleType scale = ScaleType.F16;
        while (words.Next(out ReadOnlySpan<char> word))
        {
            if (Granularity.TryParse(word, out Granularity g)) granularity = g;
            else if (ScaleTypes.TryParse(word, out ScaleType s)) scale = s;
            else throw words.Unknown(word, "g64, row, tensor, f32, f16, bf16, p2");
        }
        return words.Make(() => new E8Format(granularity, scale, 0, default));
    }
}
