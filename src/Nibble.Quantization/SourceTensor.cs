using Nibble.Core.Formats;
using Nibble.Files;

namespace Nibble.Quantization;

/// <summary>A matrix of the decoder: a module (<c>blk.0.attn_q</c>), and the expert where it has several.</summary>
public readonly record struct MatrixName(string Module, int Expert = 0)
{
    /// <summary>Reads the name of a linear layer: <c>blk.0.attn_q</c>, or <c>blk.0.ffn_up_exps[3]</c>.</summary>
    public static MatrixName OfLinear(string linear)
    {
        int bracket = linear.IndexOf('[', StringComparison.Ordinal);
        return bracket < 0 ? new MatrixName(linear) : new MatrixName(linear[..bracket], int.Parse(linear[(bracket + 1)..^1], System.Globalization.CultureInfo.InvariantCulture));
    }

    /// <summary>Whether a linear layer is an expert, which a router sends some tokens only; the heads of latent attention have numbers too, and read all.</summary>
    public static bool IsExpert(string linear) => linear.Contains("_exps[", StringComparison.Ordinal);

    /// <summary>The module of a tensor: its name without <c>.weight</c>.</summary>
    public static string ModuleOf(string tensor) => tensor.EndsWith(".weight", StringComparison.Ordinal) ? tensor[..^".weight".Length] : tensor;
}

/// <summary>Where a row lies in the decoder: in which of <see cref="SourceTensor.Matrices"/>, and which row of it it is.</summary>
public readonly record struct RowPlace(int Matrix, int Row);

/// <summary>A tensor as it will be written: its rows in the order of the output, read one by one as float32.</summary>
public abstract class SourceTensor : IWeightSource
{
    private protected SourceTensor(TensorInfo info, Format storedFormat) => (Info, StoredFormat) = (info, storedFormat);

    /// <summary>Its GGUF name, its shape in the output, and the format it keeps where it is not quantized.</summary>
    public TensorInfo Info { get; }

    /// <summary>The format it is read from.</summary>
    public Format StoredFormat { get; }

    /// <summary>The bytes it is read from.</summary>
    public long StoredBytes => StoredFormat.RowBytes(Columns) * Rows;

    /// <summary>The experts whose matrices it holds; 1 where it is one matrix.</summary>
    public int Experts => Info.Shape.Count == 3 ? (int)Info.Shape[0] : 1;

    /// <summary>What the model adds to the numbers of the output: 1 for a norm that multiplies by 1 + w.</summary>
    public virtual float Offset => 0;

    /// <summary>True of a matrix that is stored with inputs as rows, and keeps that order where it stays a matrix of floats.</summary>
    public virtual bool IsTurned => false;

    public abstract int Rows { get; }

    public abstract int Columns { get; }

    /// <summary>The decoder's matrices whose rows it holds.</summary>
    public abstract IReadOnlyList<MatrixName> Matrices { get; }

    /// <summary>Where each row lies in the decoder.</summary>
    public abstract RowPlace[] Places();

    public abstract void ReadRow(int row, Span<float> weights);

    /// <summary>What the output holds of it, in this format.</summary>
    public abstract TensorInfo Output(Format format);

    /// <summary>Copies the data unchanged, if the stored bytes are those that the output wants; else false.</summary>
    public abstract bool TryCopy(Format format, TensorWriter writer);

    /// <summary>True if the columns of its blocks are in another order than the input's, which no file of ours can say.</summary>
    public abstract bool HasColumnOrder { get; }

    /// <summary>Says that all rows before this one will not be read again, so that their pages need not stay in memory.</summary>
    /// <param name="since">Where the last call ended.</param>
    public abstract void Release(int since, int row);
}
