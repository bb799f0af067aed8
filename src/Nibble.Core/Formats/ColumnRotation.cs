using System.Numerics.Tensors;
using Nibble.Core.Kernels;

namespace Nibble.Core.Formats;

/// <summary>
/// The rotation R of a row's columns: signs that a fixed hash gives, then a Walsh-Hadamard transform of each run of
/// <see cref="Width"/> columns. It keeps all products: (x R) (w R)^T = x w^T.
/// </summary>
public sealed class ColumnRotation : IEquatable<ColumnRotation>
{
    private const uint Seed = 0x9E3779B9;

    private readonly float[] _signs;

    /// <param name="columns">The row's length.</param>
    /// <param name="width">Columns that are mixed with each other: a power of two that divides the row.</param>
    /// <exception cref="UnusableInputException">It does not divide the row.</exception>
    public ColumnRotation(int columns, int width)
    {
        if (!int.IsPow2(width) || columns % width != 0)
            throw new UnusableInputException($"a rotation of {width} columns does not divide a row of {columns}");
        Width = width;
        _signs = new float[columns];
        for (int c = 0; c < columns; c++) _signs[c] = Sign((uint)c);
    }

    /// <summary>Columns that are mixed with each other.</summary>
    public int Width { get; }

    public int Columns => _signs.Length;

    /// <summary>The sign of a column: a bit of its number, scrambled (the finalizer of MurmurHash3).</summary>
    private static float Sign(uint column)
    {
        uint hash = column + Seed;
        hash = (hash ^ (hash >> 16)) * 0x85EBCA6B;
        hash = (hash ^ (hash >> 13)) * 0xC2B2AE35;
        return ((hash ^ (hash >> 16)) & 1) == 0 ? 1 : -1;
    }

    /// <summary>A row becomes row R, in place.</summary>
    public void Rotate(Span<float> row)
    {
        TensorPrimitives.Multiply(row, _signs, row);
        Hadamard.Rotate(row, Width);
    }

    /// <summary>The inverse of <see cref="Rotate"/>, but for rounding.</summary>
    public void RotateBack(Span<float> row)
    {
        Hadamard.Rotate(row, Width);
        TensorPrimitives.Multiply(row, _signs, row);
    }

    /// <summary>Two rotations of the same columns by the same width are one.</summary>
    public bool Equals(ColumnRotation? other) => other is not null && other.Width == Width && other.Columns == Columns;

    public override bool Equals(object? obj) => Equals(obj as ColumnRotation);

    public override int GetHashCode() => HashCode.Combine(Width, Columns);
}

/// <summary>A matrix whose rows are rotated as they are read.</summary>
/// <param name="source">[rows, columns].</param>
/// <param name="rotation">Of as many columns.</param>
public sealed class RotatedWeights(IWeightSource source, ColumnRotation rotation) : IWeightSource
{
    public int Rows => source.Rows;
    public int Columns => source.Columns;

    public void ReadRow(int row, Span<float> weights)
    {
        source.ReadRow(row, weights);
        rotation.Rotate(weights[..Columns]);
    }
}
